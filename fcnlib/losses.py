"""The masked per-pixel cross-entropy, weights for rare classes, and the loss of the mean IoU."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnlib.config import TrainConfig
from fcnlib.errors import InputError
from fcnlib.labels import VOID
from fcnlib.runtime import distributed
from fcnlib.runtime.compat import tf
from fcnlib.upsampling import upsample

_EVERY = 4  # rows and columns of which a loss that sorts pixels takes one


def pixel_cross_entropy(
    logits: tf.Tensor,
    labels: tf.Tensor,
    class_weights: np.ndarray | None = None,
    summed: bool = False,
) -> tf.Tensor:
    """Compute the cross-entropy over the labelled pixels of a batch, their mean or their sum.

    Void counts neither in the sum nor in its divisor. With weights w the mean is the sum of
    w * loss over the sum of w.

    Args:
        logits: float32 [N, H, W, C].
        labels: uint8 or int32 [N, H, W], 0..C-1 or 255 for void.
        class_weights: float32 [C]; None for equal ones.
        summed: return the sum.

    Returns:
        float32 scalar, 0 where every pixel is void; those of several processes add up to the
        batch's.

    Source: Long et al. 2015, section 4.3.
    """
    labels = tf.cast(labels, tf.int32)  # [N, H, W]
    counted = tf.not_equal(labels, VOID)
    safe = tf.where(counted, labels, 0)
    if tf.config.list_physical_devices("GPU"):
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe, logits=logits)
    else:
        loss = cross_entropy_on_cpu(logits, safe)
    weight = tf.cast(counted, tf.float32)
    if class_weights is not None:
        weight = weight * tf.gather(tf.constant(class_weights, tf.float32), safe)
    total = tf.reduce_sum(loss * weight)
    if summed:
        return total
    return tf.math.divide_no_nan(total, distributed.all_reduce_sum(tf.reduce_sum(weight)))


@tf.custom_gradient
def cross_entropy_on_cpu(logits: tf.Tensor, labels: tf.Tensor) -> Any:
    """Return the cross-entropy of every pixel, float32 [...], of logits [..., C], labels [...].

    Sums over classes are products with ones: a step takes 2 to 7 % less than with TensorFlow's op.
    """
    classes = logits.shape[-1]
    flat, wanted = tf.reshape(logits, [-1, classes]), tf.reshape(labels, [-1])
    below = flat - tf.reduce_max(flat, axis=-1, keepdims=True)
    powers = tf.exp(below)
    total = tf.matmul(powers, tf.ones([classes, 1]))  # [pixels, 1]
    loss = tf.math.log(total[:, 0]) - tf.gather(below, wanted, axis=1, batch_dims=1)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        by_logit = powers / total - tf.one_hot(wanted, classes)
        return tf.reshape(by_logit * tf.reshape(upstream, [-1, 1]), tf.shape(logits)), None

    return tf.reshape(loss, tf.shape(labels)), gradient


def lovasz_softmax(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the Lovász extension of one minus the mean IoU over the classes of a batch, in [0, 1].

    It is linear in the errors of pixels, each weighed by what it takes from its class's IoU. Void
    and absent classes count nowhere. Logits are float32 [N, H, W, C], labels [N, H, W].

    Source: Berman, Rannen Triki, Blaschko 2018, equations 8, 9 and 11,
    https://arxiv.org/abs/1705.08790.
    """
    classes = logits.shape[-1]
    probabilities = tf.transpose(tf.reshape(tf.nn.softmax(logits), [-1, classes]))  # [C, P]
    wanted = tf.reshape(tf.cast(labels, tf.int32), [-1])
    truth = tf.transpose(tf.one_hot(wanted, classes))  # [C, P]; zeros in the columns of void
    errors = tf.abs(truth - probabilities) * tf.cast(wanted != VOID, tf.float32)
    # An error weighs what its pixel takes from the IoU of a set with all larger errors in it.
    order = tf.argsort(errors, direction="DESCENDING")
    true = tf.gather(truth, order, batch_dims=1)
    pixels = tf.reduce_sum(truth, axis=1, keepdims=True)
    union = tf.maximum(pixels + tf.cumsum(1 - true, axis=1), 1)
    lost = 1 - (pixels - tf.cumsum(true, axis=1)) / union
    weights = lost - tf.pad(lost[:, :-1], [[0, 0], [1, 0]])
    each = tf.reduce_sum(tf.gather(errors, order, batch_dims=1) * weights, axis=1)  # [C]
    present = tf.cast(pixels[:, 0] > 0, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(each * present), tf.reduce_sum(present))


def objective(config: TrainConfig, class_weights: np.ndarray | None = None):
    """Return what a training minimizes: the cross-entropy and, where they have weight, two more.

    `aux_loss_weight` is of the cross-entropy of the sum of score maps down to each coarser stride,
    at the sample points of the finest map; `lovasz_weight` of the mean IoU of one pixel in 16.
    Class weights are float32 [C], or None for equal ones; void, where it is a class, gets 1.

    Returns:
        A function of (network, batch of fixed size, stage, step) to a float32 scalar.

    Raises:
        InputError: the loss of the mean IoU would be added to a sum over pixels.
    """
    summed = config.loss == "sum"
    if summed and config.lovasz_weight:
        raise InputError("lovasz_weight is at most 1, a sum has no bound: set loss=mean")
    weights = None if class_weights is None else np.append(class_weights, 1.0)

    def entropy(logits, labels):
        return pixel_cross_entropy(logits, labels, weights, summed)

    def loss(net, batch, stage, step):
        labels = batch["label"]
        if net.outputs > net.num_classes:
            labels = tf.cast(labels, tf.int32)
            labels = tf.where(labels == VOID, net.num_classes, labels)
        dropout_seed = (config.seed, step, distributed.rank(), distributed.size())
        mode = {"training": True, "frozen": stage.frozen, "dropout_seed": dropout_seed}
        if config.aux_loss_weight:
            coarse = net.partial_sums(batch["image"], **mode)
            logits = net.to_pixels(coarse.pop(net.stride), *labels.shape[1:])
        else:
            coarse, logits = {}, net(batch["image"], **mode)
        total = entropy(logits, labels)
        if config.lovasz_weight:
            few = np.s_[:, ::_EVERY, ::_EVERY]
            share = lovasz_softmax(logits[few], labels[few]) / distributed.size()
            total += config.lovasz_weight * share
        alike = net.stride**2 if summed else 1  # pixels that a sample point stands for
        for stride, scores in coarse.items():
            auxiliary = entropy(*_at_points(net, stride, scores, labels))
            total += config.aux_loss_weight * alike * auxiliary
        return total

    return loss


def _at_points(net, stride: int, scores: tf.Tensor, labels: tf.Tensor):
    """Return a coarser sum and the labels at the sample points of the network's finest map."""
    first = net.stride // 2 if net.half_pixel_centers else 0
    points = labels[:, first :: net.stride, first :: net.stride]  # [N, h, w]
    logits = upsample(scores, stride // net.stride, net.half_pixel_centers)
    return logits[:, : points.shape[1], : points.shape[2]], points


def median_frequency_weights(pixels: np.ndarray, image_pixels: np.ndarray) -> np.ndarray:
    """Return weights that even out how often classes occur, float32 [C], 0 for one that never does.

    They are median frequency over frequency. `pixels` are those of each class over the training
    set, `image_pixels` the labelled ones of the images in which it occurs, int64 [C] both.

    Source: Eigen and Fergus 2015, section 6.3.2, https://arxiv.org/abs/1411.4734.
    """
    present = pixels > 0
    frequency = np.where(present, pixels / np.maximum(image_pixels, 1), 1.0)
    return np.where(present, np.median(frequency[present]) / frequency, 0).astype(np.float32)
