"""Which settings there are: their names, types, defaults, units and options, by stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _choice(default: str, *options: str) -> Any:
    return field(default=default, metadata={"options": options})


# {key: (least, most)} of the numbers that 0 to infinity would be too much for.
LIMITS = dict.fromkeys(
    ("crop_size", "batch_size", "eval_batch_size", "pretrain_batch_size", "scenes_batch"),
    (1, 1 << 16),
)
LIMITS |= dict.fromkeys(("image_size", "scenes_image_size", "pretrain_crop"), (1, 1 << 14))
LIMITS |= {
    "depth_multiplier": (1e-3, 1),
    "min_depth": (1, 256),
}  # wider than any published


@dataclass(frozen=True)
class DataConfig:
    """What to train and test on, and how training images are varied."""

    dataset: str = _choice(
        "shapes",
        *("shapes", "scenes", "streets", "camvid", "voc2012", "sbd", "scene-parsing"),
        *("folder", "packed"),
    )
    data_dir: str = field(default="data/shapes", metadata={"path": True})
    train_split: str = "train"
    val_split: str = "val"  # looked at while training
    eval_split: str = "val"  # scored at the end
    train_limit: int = 0  # use the first N images of a split; 0 = all
    val_limit: int = 0
    eval_limit: int = 0
    crop_size: int = 129  # pixels, on the 32k+1 grid
    min_scale: float = 0.75  # random resize before the crop, factor of the side
    max_scale: float = 1.5
    flip: bool = True
    colour_jitter: float = 0.2  # brightness, contrast, saturation: +- this share
    tint_jitter: float = 0.0  # each channel by itself: +- this share
    class_mix: float = 0.0  # share of crops that get half of the classes of another crop


@dataclass(frozen=True)
class NetworkConfig:
    """Backbone and decoder."""

    backbone: str = _choice("inception_v3", "inception_v3", "vgg_16")
    depth_multiplier: float = 0.25  # channels of every layer, times this
    min_depth: int = 8  # but never fewer
    chain: tuple[int, ...] = (32, 16, 8)  # strides of the networks, each starting from the last
    upsampling: str = _choice("learned", "learned", "fixed")  # between skips; the last is fixed
    fusion: str = _choice("score", "score", "feature", "2017")  # what the skips add up
    skip_scales: tuple[float, ...] = ()  # factors on features from stride 16 on; 0.01,0.0001
    normalization: str = _choice("own", "own", "batch_norm", "none")  # own: as published
    inputs: str = _choice("own", "own", "raw")  # raw: pixels 0..255, as in 2017
    void: str = _choice("masked", "masked", "class")  # class: trained as one more, as in 2017
    dropout: float = 0.1  # share dropped before the stride-32 score layer
    initial: str = field(default="data/pretrained/shapes-classifier.npz", metadata={"path": True})


@dataclass(frozen=True)
class TrainConfig:
    """Optimization: two stages for the coarsest network, one for each finer one."""

    seed: int = 1
    batch_size: int = 16
    optimizer: str = _choice("adam", "adam", "sgd")
    head_steps: int = 60  # new layers only, backbone frozen with its batch-norm statistics
    coarse_steps: int = 600  # end to end, the coarsest network
    skip_steps: int = 250  # end to end, each finer network
    ablation_steps: int = 120  # each variant of notebook 04
    comparison_steps: int = 60  # each system of notebook 08
    val_every: int = 0  # steps between looks at the validation images; 0 = at the end of a stage
    head_lr: float = 1e-2
    base_lr: float = 2e-3
    skip_lr: float = 1e-3
    schedule: str = _choice("cosine", "cosine", "poly", "constant")
    warmup_steps: int = 20
    weight_decay: float = 1e-4  # L2 on convolution kernels
    weight_average: float = 0.0  # decay a step of the average of all weights that is kept; 0 = none
    batch_norm: str = _choice("running", "running", "frozen")
    batch_norm_decay: float = 0.95  # of the moving averages; slim's 0.9997 needs 10,000s of steps
    loss: str = _choice("mean", "mean", "sum")  # over labelled pixels; sum divides the rates
    class_weights: str = _choice("none", "none", "median_frequency", "root_median_frequency")
    lovasz_loss: float = 0.0  # weight of the Lovász-Softmax loss, which stands for the mean IoU
    coarse_loss: float = 0.0  # weight of the loss of each coarser sum of score maps
    # What convolutions compute in; auto: 16 bits where the device is faster with them.
    precision: str = _choice("auto", "auto", "float32", "bfloat16", "float16")
    checkpoint_seconds: int = 120
    deterministic: bool = False  # TensorFlow's own mode: the same bits on a GPU as well
    prove: bool = True  # claims about trained networks must hold; a smoke run trains too little
    eval_batch_size: int = 16


@dataclass(frozen=True)
class PretrainConfig:
    """The classifier on single objects, from which the default profile starts."""

    pretrain_steps: int = 12000
    pretrain_batch_size: int = 32
    pretrain_lr: float = 3e-3
    pretrain_crop: int = 97
    label_smoothing: float = 0.1


@dataclass(frozen=True)
class ShapesConfig:
    """How much of the generated data set to make."""

    shapes_seed: int = 2015
    train_images: int = 1200
    val_images: int = 200
    image_size: int = 129
    objects_per_class: int = 4  # single-object images a class for the classifier
    objects_val_per_class: int = 8


@dataclass(frozen=True)
class ScenesConfig:
    """How much to make of the generated scenes (notebook 07 needs them too) and streets."""

    scenes_seed: int = 2016
    scenes_train_images: int = 600
    scenes_val_images: int = 100
    scenes_image_size: int = 129
    scenes_dir: str = field(default="data/scenes", metadata={"path": True})
    scenes_steps: int = 120  # end to end in notebook 07, and half as many with either weights
    scenes_batch: int = 8
