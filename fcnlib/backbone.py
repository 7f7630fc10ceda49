"""The backbones built from their tables with tf-slim layers.

Variable names equal those of the released slim checkpoints (`InceptionV3/Mixed_5b/Branch_0/...`,
`vgg_16/conv1/conv1_1/...`). With `padding="VALID"` they are those of a classifier; with "SAME"
their sample points fall on the grid that segmentation needs (see `geometry.py`).

Source: https://arxiv.org/abs/1512.00567, https://arxiv.org/abs/1409.1556 and
https://github.com/google-research/tf-slim.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from fcnlib.blocks import BACKBONES, Backbone, Conv, Layer, Mixed, Parallel, Pool
from fcnlib.preprocessing import BYTES_TO_UNIT
from fcnlib.runtime.compat import slim, tf

BATCH_NORM_EPSILON = 1e-3


def features(
    images: tf.Tensor,
    *,
    training: bool,
    frozen: bool = False,
    backbone: str | Backbone = "inception_v3",
    padding: str = "VALID",
    depth_multiplier: float = 1.0,
    min_depth: int = 16,
    batch_norm: bool | None = None,
    batch_norm_decay: float = 0.9997,
    dtype: tf.DType = tf.float32,
    dropout: float = 0.0,
    dropout_seed=(0, 0),
) -> dict[str, tf.Tensor]:
    """Build a backbone without its classifier; call it inside a template or a variable scope.

    Args:
        images: float32 [N, H, W, 3] in [-1, 1].
        training: drop features, normalize by the batch and update the moving averages.
        frozen: while training, normalize by the moving averages and leave them alone.
        backbone: a name of `blocks.BACKBONES`, or a description like those.
        padding: "VALID" or "SAME", of the layers marked `valid`.
        depth_multiplier: scales the channels of every layer.
        min_depth: the least number of channels a layer gets.
        batch_norm: after each convolution; False gives biases instead. None: as published.
        batch_norm_decay: of the moving averages.
        dtype: what to compute in; variables and end points are float32 all the same.
        dropout: share dropped while training, after the layers that have dropout.
        dropout_seed: as `seed` of `stateless_dropout`.

    Returns:
        {end point: float32 [N, H / stride, W / stride, channels]} in order of depth.
    """
    spec = BACKBONES[backbone] if isinstance(backbone, str) else backbone

    def depth(channels: int) -> int:
        return max(int(channels * depth_multiplier), min_depth)

    if spec.mean is not None:  # VGG was trained on pixels 0..255 less their mean
        images = (images + 1) * BYTES_TO_UNIT - tf.constant(spec.mean)
    net, end_points = tf.cast(images, dtype), {}  # [N, H, W, 3]
    with _layers(spec, batch_norm, training and not frozen, batch_norm_decay):
        for layer in spec.table:
            net = _apply(net, layer, depth, padding)  # Mixed_6e: [N, H/16, W/16, 768]
            if training and dropout and isinstance(layer, Conv) and layer.dropout:
                seed, step, *shard = tf.unstack(dropout_seed)  # + 1: not the head's draw again
                net = stateless_dropout(net, dropout, (seed + 1, step + 1, *shard))
            end_points[layer.name] = tf.cast(net, tf.float32)
    return end_points


@contextlib.contextmanager
def _layers(spec: Backbone, batch_norm: bool | None, training: bool, decay: float):
    """Open the scopes of all convolutions; leaving out the second is how 2017 lost its norm."""
    normalized = spec.batch_norm if batch_norm is None else batch_norm
    normalizer = {
        "is_training": training,
        "decay": decay,
        "epsilon": BATCH_NORM_EPSILON,
        "updates_collections": None,  # update in place; slim's other route needs tf_keras
        "fused": True,
    }
    layers = {
        "weights_initializer": slim.variance_scaling_initializer(),
        "normalizer_fn": _batch_norm if normalized else None,
        "normalizer_params": normalizer,
    }
    names = tf.compat.v1.variable_scope(spec.scope, custom_getter=_float32_variables)
    with names, slim.arg_scope([slim.conv2d], **layers):
        yield


def _float32_variables(getter, *arguments, **options) -> tf.Tensor:
    """Keep the variables of 16-bit layers in float32 and give the layer a cast of them."""
    wanted = tf.as_dtype(options.get("dtype") or tf.float32)
    if wanted.size >= tf.float32.size:
        return getter(*arguments, **options)
    return tf.cast(getter(*arguments, **{**options, "dtype": tf.float32}), wanted)


def _batch_norm(net: tf.Tensor, **settings) -> tf.Tensor:
    # oneDNN's 16-bit routine is fast for whole groups of 16 channels only; for others both casts
    # and float32 together take a fraction of its time.
    if net.dtype.size >= 4 or net.shape[-1] % 16 == 0:
        return slim.batch_norm(net, **settings)
    return tf.cast(slim.batch_norm(tf.cast(net, tf.float32), **settings), net.dtype)


def _apply(net: tf.Tensor, layer: Layer, depth: Callable[[int], int], padding: str) -> tf.Tensor:
    match layer:
        case Conv():
            place = layer.kernel, layer.stride, padding if layer.valid else "SAME"
            # [N, h/stride, w/stride, depth]
            return slim.conv2d(net, depth(layer.depth), *place, scope=layer.name)
        case Pool():
            pool = slim.avg_pool2d if layer.average else slim.max_pool2d
            place = layer.kernel, layer.stride, padding if layer.valid else "SAME"
            return pool(net, *place, scope=layer.name)  # [N, h/stride, w/stride, channels]
        case Parallel():
            return tf.concat([_apply(net, part, depth, padding) for part in layer.layers], axis=3)
        case Mixed():
            outputs = []
            with tf.compat.v1.variable_scope(layer.name):
                for number, branch in enumerate(layer.branches):
                    with tf.compat.v1.variable_scope(f"Branch_{number}"):
                        out = net
                        for part in branch:
                            out = _apply(out, part, depth, padding)
                        outputs.append(out)
            return tf.concat(outputs, axis=3)  # [N, h, w, sum of the branches' depths]


def stateless_dropout(net: tf.Tensor, rate: float, seed, per_image: bool = False) -> tf.Tensor:
    """Drop a share of the features, the same ones for the same seed.

    Args:
        net: float32 [N, h, w, C].
        rate: share dropped, in [0, 1); the rest is scaled up by 1 / (1 - rate).
        seed: two integers, such as (run seed, step), so that a resumed run draws the same; behind
            them (rank, size) where processes share a batch.
        per_image: one mask for all places of an image.

    Returns:
        float32 [N, h, w, C].
    """
    *seed, rank, size = [*tf.unstack(seed), 0, 1][:4]
    images, *rest = tf.unstack(tf.shape(net))
    rest = [1, 1, rest[-1]] if per_image else rest
    # Drawn for the batch of all processes: an image loses the same, whichever computes it.
    drawn = tf.random.stateless_uniform([images * size, *rest], tf.cast(seed, tf.int32))
    keep = drawn[images * rank : images * (rank + 1)] >= rate  # [N, h, w, C]
    return net * tf.cast(keep, net.dtype) / (1.0 - rate)
