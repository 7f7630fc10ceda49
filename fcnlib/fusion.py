"""Adding up maps, coarse to fine, on a grid whose sample points they share."""

from __future__ import annotations

from collections.abc import Mapping

from fcnlib.runtime.compat import slim, tf
from fcnlib.upsampling import learned_projection, transposed, upsample


def fuse(
    scores: Mapping[int, tf.Tensor],
    kernels: Mapping[int, tf.Tensor | None],
    weights: Mapping[int, float] | None = None,
    centred: bool = False,
) -> tf.Tensor:
    """Add up score maps, coarse to fine, upsampling by two on the way.

    Args:
        scores: {stride: float32 [N, h, w, C]}, strides halving, sizes on the backbone's grid.
        kernels: {stride reached: kernel of `transposed` [k, k, C, C]}; absent means fixed bilinear.
        weights: {stride: factor on its score map}; 1 where absent.
        centred: which grid it is, where a kernel is absent.

    Returns:
        float32 [N, h, w, C] at the finest of the strides.
    """
    return sums(scores, kernels, weights, centred)[min(scores)]


def sums(
    scores: Mapping[int, tf.Tensor],
    kernels: Mapping[int, tf.Tensor | None],
    weights: Mapping[int, float] | None = None,
    centred: bool = False,
) -> dict[int, tf.Tensor]:
    """Do what `fuse` does and return every sum on the way.

    Args:
        scores: as for `fuse`, like the rest.
        kernels: as for `fuse`.
        weights: as for `fuse`.
        centred: as for `fuse`.

    Returns:
        {stride: the sum of the maps down to it, float32 [N, h, w, C]}, coarse to fine.
    """
    found: dict[int, tf.Tensor] = {}
    for stride in sorted(scores, reverse=True):
        fused = scores[stride]
        if weights and stride in weights:
            fused = fused * weights[stride]
        kernel = kernels.get(stride)
        if found and kernel is None:
            fused = upsample(found[2 * stride], 2, centred) + fused
        elif found:
            fused = transposed(found[2 * stride], kernel, 2) + fused
        found[stride] = fused
    return found


def feature_fusion(
    maps: Mapping[int, tf.Tensor], outputs: int, centred: bool
) -> tuple[dict[int, tf.Tensor], dict[int, tf.Tensor]]:
    """Make maps and kernels whose fusion is the score of the summed features.

    The features are upsampled to the channels of the next finer map by a learned kernel and added,
    and only the sum is scored: the decoder of the 2017 student project, on our grid. A 1 x 1 score
    layer commutes with a sum and with an upsampling, so the finest kernel is taken together with it
    and `fuse` needs to know nothing of the difference.

    Args:
        maps: {stride: float32 [N, h, w, channels]}, coarse to fine.
        outputs: scores a place.
        centred: which grid it is.

    Returns:
        What `fuse` takes: maps, of which the finest holds scores, and kernels.
    """
    strides = list(maps)
    finest, channels = strides[-1], [m.shape[-1] for m in maps.values()]
    kernels = {}
    for stride, coarse, fine in zip(strides[1:], channels, channels[1:], strict=False):
        kernels[stride] = learned_projection(coarse, fine, 2, f"upfeature_{stride}", centred)
    with tf.compat.v1.variable_scope(f"score_{finest}"):
        zeros = tf.zeros_initializer()
        score = slim.model_variable("weights", [1, 1, channels[-1], outputs], initializer=zeros)
        bias = slim.model_variable("biases", [outputs], initializer=zeros)
    if finest in kernels:
        kernels[finest] = tf.einsum("hwfc,fk->hwkc", kernels[finest], score[0, 0])
    return {**maps, finest: tf.nn.conv2d(maps[finest], score, 1, "VALID") + bias}, kernels
