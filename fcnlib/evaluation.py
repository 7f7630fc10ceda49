"""Score a predictor on a split: every image once at its native size, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from fcnlib import metrics
from fcnlib.runtime import distributed, progress
from fcnlib.runtime.compat import tf

# {"fold": makes a trained network, and an engine, faster to score}, where
# `fcntools.inference.folding` is imported.
PREPARED: dict[str, Callable[..., Callable]] = {}


@dataclass(frozen=True)
class Evaluation:
    """The confusion matrices of a split, one an image, from which every figure follows."""

    matrices: np.ndarray  # int64 [images, C, C], rows truth
    names: tuple[str, ...]  # of the images, in the same order

    @property
    def matrix(self) -> np.ndarray:
        """The confusion matrix of the whole split, int64 [C, C]."""
        return self.matrices.sum(axis=0)

    @property
    def scores(self) -> metrics.Scores:
        """The four metrics over the whole split."""
        return metrics.scores(self.matrix)

    def ranked(self) -> list[int]:
        """Return the indices of the images with labels, best mean IoU of their own first."""
        means = np.array([metrics.scores(matrix).mean_iou for matrix in self.matrices])
        return [int(i) for i in np.argsort(-means, kind="stable") if np.isfinite(means[i])]


def predictor(network, outputs: int = 0):
    """Compile a network's prediction for images of any size; the network is built.

    Return a function of images float32 [N, H, W, 3] in [-1, 1] to classes uint8 [N, H, W], the best
    of `outputs` logits, or of `num_classes`.
    """
    count = outputs or network.num_classes

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None, None, 3])])
    def predict(images):
        logits = network(images)[..., :count]  # [N, H, W, C]
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    return predict


def evaluate(
    predict,
    batches: Iterable[dict[str, tf.Tensor]],
    names: tuple[str, ...],
    num_classes: int,
    label: str = "",
) -> Evaluation:
    """Return the confusion matrices of a split in the order of `names`; processes share it.

    Args:
        predict: from `predictor`, or any function of images to classes.
        batches: every image of the split once, or of this process's share.
        names: of the images, by index.
        num_classes: C.
        label: shows a progress bar of this name.
    """
    matrices = np.zeros((len(names), num_classes, num_classes), np.int64)
    with progress.bar(len(names) if label else 0, label, "image") as bar:
        for batch in batches:
            truth, index = np.asarray(batch["label"]), np.asarray(batch["index"])  # [N, H, W], [N]
            predicted = predict(batch["image"]).numpy()  # [N, H, W]
            pairs = zip(truth, predicted, strict=True)
            matrices[index] = [metrics.confusion_matrix(t, p, num_classes) for t, p in pairs]
            bar.update(len(index))
        matrices = np.asarray(distributed.all_reduce_sum(matrices))
        bar.update(len(names) - bar.n)
    return Evaluation(matrices, names)
