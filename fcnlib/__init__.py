"""FCN-GoogLeNet: fully convolutional networks for semantic segmentation on Inception-v3.

Import the stage you need (`from fcnlib import metrics`); nothing is imported here, so that
`fcnlib --help` answers at once. In the order in which a reader meets them:

- config: `Config`, `load_profile`, `parse_setting`; labels: `LabelSet`; errors: `InputError`
- datasets: `open_dataset`, `Dataset`, `Record`, `read_image`, `read_mask`, `read_pair`
- blocks: `BACKBONES`; geometry: `fields`, `grid_size`; preprocessing: `preprocess`
- backbone: `features`; upsampling: `bilinear_kernel`, `upsample`; network: `FCN`
- augmentation: `augment`, `mix_classes`; input_pipeline: `ImageStore`, `train_batches`
- losses: `objective`, `pixel_cross_entropy`; optimizer: `Stage`, `Optimizer`; training: `Trainer`
- checkpoints: `save`, `load`, `transplant`; builders: `build_fcn`, `load_fcn`, `start_from`
- experiment: `chain`, `train_fcn`, `evaluate_fcn`, `train_chain`
- metrics: `confusion_matrix`, `scores`; evaluation: `predictor`, `evaluate`
"""

__version__ = "0.1.0"
