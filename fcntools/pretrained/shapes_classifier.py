"""The classifier of single shapes: the start of the default profile, in ImageNet's place."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib import checkpoints
from fcnlib.augmentation import augment_object, centre_object
from fcnlib.backbone import features, stateless_dropout
from fcnlib.blocks import BACKBONES
from fcnlib.builders import backbone_settings, describe_device, seed
from fcnlib.config import Config
from fcnlib.datasets.image_io import read_image
from fcnlib.datasets.records import files_in
from fcnlib.errors import InputError
from fcnlib.input_pipeline import order, prefetched
from fcnlib.labels import SHAPES
from fcnlib.runtime import files, run_record
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule
from fcnlib.training import Stage, Trainer
from fcntools.synthetic import shapes

# What a classifier's checkpoint says of its backbone, so that it can be built again.
_BUILT = ("backbone", "depth_multiplier", "min_depth", "batch_norm")
# What else decides its training, besides all of `PretrainConfig` and `ShapesConfig`.
_LEARNING = ("seed", "optimizer", "schedule", "warmup_steps", "weight_decay", "ema_decay")
_LEARNING += ("batch_norm_decay", "precision")


class Classifier(SlimModule):
    """A backbone with its 1 x 1 convolution of logits, pooled or as a map.

    The average pool and the 1 x 1 convolution commute, so the mean of the dense map is the
    classifier's output: the whole of "convolutionalizing" this network is to leave the pool out.

    Source: Long et al. 2015, section 4.1 ("the final average pooling layer" dropped).
    """

    def __init__(self, num_classes: int, *, dropout: float = 0.2, **settings):
        """Describe it; `dropout` is of the pooled features, `settings` are of `features`."""
        spec = BACKBONES[settings.get("backbone", "inception_v3")]

        def build(images, training, dropout_seed):
            drop = {"dropout": dropout, "dropout_seed": dropout_seed}
            net = features(images, training=training, **drop, **settings)[spec.skips[32]]
            if training and dropout:  # one mask an image, as if drawn after the pool
                net = stateless_dropout(net, dropout, dropout_seed, per_image=True)
            plain = {"activation_fn": None, "normalizer_fn": None, "scope": spec.logits}
            return slim.conv2d(net, num_classes, 1, **plain)  # [N, h, w, num_classes]

        super().__init__(build)

    def score_map(self, images: tf.Tensor) -> tf.Tensor:
        """Return the logits before the pool, [N, h, w, C], of images float32 in [-1, 1]."""
        return self._template(images, False, (0, 0))

    def __call__(self, images: tf.Tensor, training: bool = False, dropout_seed=(0, 0)) -> tf.Tensor:
        """Return the logits, float32 [N, num_classes].

        Args:
            images: float32 [N, H, W, 3] in [-1, 1].
            training: normalize by the batch, drop features.
            dropout_seed: two integers.
        """
        return tf.reduce_mean(self._template(images, training, dropout_seed), axis=[1, 2])


def load_classifier(path: Path, padding: str = "SAME") -> tuple[Classifier, dict[str, Any]]:
    """Rebuild a classifier from its checkpoint alone.

    Its padding was "SAME" in training; that of slim's classifier is "VALID".

    Returns:
        (classifier, what the checkpoint says of itself: classes, width, accuracy).

    Raises:
        InputError: no checkpoint there, or not one of a classifier.
    """
    arrays, meta = checkpoints.load(path)
    if meta.get("kind") != "classifier":
        raise InputError(f"{path}: holds a {meta.get('kind', 'nameless thing')}, not a classifier")
    try:
        settings = {k: meta[k] for k in _BUILT if k in meta}
        Config().replace(**{k: v for k, v in settings.items() if k != "batch_norm"})
        classifier = Classifier(len(meta["classes"]), padding=padding, **settings)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: does not say what network it is ({error})") from None
    classifier(tf.zeros([1, 224, 224, 3]))  # VALID needs a whole classifier's image
    checkpoints.transplant(arrays, classifier.named_variables(), source=str(path))
    return classifier, meta


def pretrain(config: Config, out: Path, resume: bool = False) -> dict[str, Any]:
    """Return the record of a classifier of single shapes that is trained and written.

    Args:
        config: the `pretrain` profile, or one like it.
        out: the checkpoint to write, NAME.npz with float16 weights; its record goes beside it as
            NAME.json, what a resumed run needs as the folder NAME.training.
        resume: continue an interrupted run.

    Raises:
        InputError: `out` is no such file or in use, the checkpoint to go on from is of other
            settings, the loss is no longer finite, or data are missing.
    """
    if out.is_dir() or out.suffix != ".npz":
        raise InputError(f"{out}: give --out the name of a file that ends in .npz")
    with files.locked(out.with_suffix(".training")):
        return _pretrain(config, out, resume)


def _pretrain(config: Config, out: Path, resume: bool) -> dict[str, Any]:
    started = run_record.start()
    root = config.path("data_dir")
    classes = shapes.ensure(root, config.shapes).labels.classes
    built = backbone_settings(config)
    # SAME padding, as the network that will start from it
    classifier = Classifier(len(classes), padding="SAME", **built)
    seed(config)
    classifier(tf.zeros([1, 33, 33, 3]))
    paths, labels = class_files(root / "objects/train")
    settings, number = config.pretrain, config.train.seed

    def batches(first: int, steps: int):
        size, crop = settings.pretrain_batch_size, settings.pretrain_crop
        return class_batches(paths, labels, crop, size, number, range(first, first + steps))

    def loss(net, batch, stage, step):
        logits = net(batch["image"], training=True, dropout_seed=tf.stack([number, step]))
        smooth = settings.label_smoothing
        target = tf.one_hot(batch["label"], len(classes)) * (1 - smooth) + smooth / len(classes)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))

    held_out = class_files(root / "objects/val")

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None, None, 3])])
    def classify(images):
        return tf.argmax(classifier(images), axis=-1)

    def accuracy() -> float:
        found = class_batches(*held_out, settings.pretrain_crop, 64)
        right = [classify(b["image"]).numpy() == b["label"].numpy() for b in found]
        return float(np.mean(np.concatenate(right)))

    meta = {"kind": "classifier", "classes": list(classes), **{key: built[key] for key in _BUILT}}
    flat, wanted = config.to_dict(), (*_LEARNING, *vars(settings), *vars(config.shapes))
    trainer = Trainer(
        classifier,
        [Stage("classify", settings.pretrain_steps, settings.pretrain_lr)],
        *(batches, loss, config.train, out.with_suffix(".training")),
        meta=meta | {"settings": {key: flat[key] for key in wanted}},
        names=[path.name for path in paths],
        evaluate=accuracy,
    )
    trainer.run("classifier of single shapes", resume=resume)
    extra = {"accuracy": accuracy(), "objects": len(paths), "training_seconds": trainer.spent}
    arrays = {name: v.numpy() for name, v in classifier.named_variables().items()}
    checkpoints.save(out, arrays, meta | {"accuracy": extra["accuracy"]}, half=True)
    device = describe_device(config.train.precision)
    record = run_record.capture(config, started=started, device=device, extra=extra)
    files.write_json(out.with_suffix(".json"), record)
    return record


def class_files(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Return the pictures of single objects, CLASS/*.jpg and the like, and their classes, int32.

    Raises:
        InputError: a class has no picture.
    """
    paths, labels = [], []
    for label, name in enumerate(SHAPES.classes):
        own = files_in(folder / name)
        if not own:
            raise InputError(f"{folder / name}: no pictures of this class; generate the shapes")
        paths += own
        labels += [label] * len(own)
    return paths, np.array(labels, np.int32)


def class_batches(
    paths: Sequence[Path],
    labels: np.ndarray,
    crop: int,
    batch_size: int,
    seed: int = 0,
    steps: range | None = None,
) -> tf.data.Dataset:
    """Return batches of single-object pictures for the classifier.

    Args:
        paths: of `class_files`.
        labels: the same.
        crop: side of the crops, pixels.
        batch_size: B; in evaluation the last batch may be smaller.
        seed: of the training.
        steps: of the training: varied pictures in shuffled order; None gives each once, central.

    Returns:
        Dataset of {image float32 [B, crop, crop, 3] in [-1, 1], 0 where padded, label int32 [B],
        index int32 [B]}.
    """
    first, last = 0, len(paths)
    indices = np.arange(last, dtype=np.int32)
    if steps is not None:
        first, last = steps.start * batch_size, steps.stop * batch_size
        indices = order(len(paths), seed, first, last)
    read = functools.cache(lambda index: read_image(paths[index]))

    def sample(position, index, label):
        image = tf.numpy_function(lambda i: read(int(i)), [index], tf.uint8)
        image = tf.ensure_shape(image, (None, None, 3))
        if steps is None:
            image = centre_object(image, crop)
        else:
            image = augment_object(image, seed, position, crop)
        return {"image": image, "label": label, "index": index}

    sequence = (np.arange(first, last), indices, labels[indices])
    items = tf.data.Dataset.from_tensor_slices(sequence).map(sample, 2)
    return prefetched(items.batch(batch_size, drop_remainder=steps is not None))
