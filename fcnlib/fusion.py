"""Adding up maps, coarse to fine, on a grid whose sample points they share."""

from __future__ import annotations

from collections.abc import Mapping

from fcnlib.compat import slim, tf
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


def top_down(
    maps: Mapping[int, tf.Tensor], channels: int, dtype: tf.DType, centred: bool
) -> dict[int, tf.Tensor]:
    """Tell every skip what the coarser ones saw, so that what it says can depend on it.

    A score layer is linear: it cannot take an edge for a pole in front of a house and for a kerb on
    a road. Here the coarser maps, upsampled, go through two convolutions together with the finer
    one before that is scored. Call it in `backbone.layers`.

    Args:
        maps: {stride: float32 [N, h, w, any channels]}, coarse to fine.
        channels: of the maps made, at most; 16 times the stride where that is less.
        dtype: what the convolutions compute in.
        centred: which grid it is.

    Returns:
        The maps to score, float32: the coarsest as it was, the others [N, h, w, channels].

    Source: Ronneberger et al. 2015, figure 1, https://arxiv.org/abs/1505.04597, in the few channels
    of Lin et al. 2017, section 3, https://arxiv.org/abs/1612.03144.
    """
    found: dict[int, tf.Tensor] = {}
    above = None
    for stride, net in maps.items():
        depth, parts = min(channels, 16 * stride), [tf.cast(net, dtype)]
        if above is not None:
            parts.insert(0, tf.cast(upsample(above, 2, centred), dtype))
        joined = slim.conv2d(tf.concat(parts, axis=3), depth, 1, scope=f"join_{stride}")
        if above is None:
            found[stride], above = net, joined
            continue
        above = slim.conv2d(joined, depth, 3, scope=f"refine_{stride}")
        found[stride] = tf.cast(above, tf.float32)
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
