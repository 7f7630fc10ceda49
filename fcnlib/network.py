"""The fully convolutional network: FCN-32s, 16s, 8s and 4s from one table of skips.

Each stride of the backbone gets a 1 x 1 score layer, started at zero; the coarsest map of scores is
upsampled by two and the next finer one added, down to the network's stride; the rest of the way to
pixels is fixed bilinear. On the 32 k + 1 grid all maps share their sample points, so nothing is
cropped or shifted between them.

Source: Long et al. 2015, sections 4.2 and 4.3, figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fcnlib.backbone import SlimModule, inception_v3, stateless_dropout
from fcnlib.compat import slim, tf
from fcnlib.upsampling import learned_kernel, pad_to_grid, transposed, upsample

# The last map of each stride: the most that was computed at that resolution.
SKIPS = {32: "Mixed_7c", 16: "Mixed_6e", 8: "Mixed_5d", 4: "Conv2d_4a_3x3"}


def strides_down_to(stride: int) -> tuple[int, ...]:
    """Return the strides of the maps that a network fuses, coarse to fine.

    Args:
        stride: the network's own stride, one of `SKIPS`.

    Returns:
        Such as (32, 16, 8) for 8.

    Raises:
        ValueError: no skip has this stride.
    """
    if stride not in SKIPS:
        raise ValueError(f"no network of stride {stride}; there are {', '.join(map(str, SKIPS))}")
    return tuple(s for s in SKIPS if s >= stride)


def fuse(
    scores: Mapping[int, tf.Tensor],
    kernels: Mapping[int, tf.Tensor | None],
    weights: Mapping[int, float] | None = None,
) -> tf.Tensor:
    """Add up score maps, coarse to fine, upsampling by two on the way.

    Args:
        scores: {stride: float32 [N, h, w, C]}, strides halving, sizes on the 32 k + 1 grid.
        kernels: {stride reached: kernel of `transposed` [3, 3, C, C]}; absent means fixed bilinear.
        weights: {stride: factor on its score map}; 1 where absent.

    Returns:
        float32 [N, h, w, C] at the finest of the strides.
    """
    weights = weights or {}
    fused = None
    for stride in sorted(scores, reverse=True):
        skip = scores[stride]
        if stride in weights:
            skip = skip * weights[stride]
        if fused is None:
            fused = skip
            continue
        kernel = kernels.get(stride)
        fused = upsample(fused, 2) if kernel is None else transposed(fused, kernel, 2)
        fused = fused + skip
    return fused


class FCN(SlimModule):
    """A network that gives every pixel of an image of any size a score for every class."""

    def __init__(
        self,
        num_classes: int,
        stride: int,
        *,
        learned: bool = True,
        dropout: float = 0.1,
        **backbone,
    ):
        """Describe the network; its variables appear with the first call.

        Args:
            num_classes: classes C, background included, void not.
            stride: of the finest map fused: 32, 16, 8 or 4.
            learned: the upsampling between skips is trained (bilinear at the start).
            dropout: share of the coarsest features dropped while training.
            **backbone: depth_multiplier, min_depth, batch_norm_decay of `inception_v3`.

        Raises:
            ValueError: no skip has this stride.
        """
        self.strides = strides_down_to(stride)
        self.stride = stride
        self.num_classes = num_classes

        def build(images, training, frozen, dropout_seed):
            end_points = inception_v3(
                images, training=training and not frozen, padding="SAME", **backbone
            )
            scores = {}
            with tf.compat.v1.variable_scope("FCN"):
                for s in self.strides:
                    net = end_points[SKIPS[s]]  # [N, H / s, W / s, channels]
                    if s == self.strides[0] and training and dropout:
                        net = stateless_dropout(net, dropout, dropout_seed)
                    scores[s] = _score(net, num_classes, f"score_{s}")
                kernels = {}
                if learned:
                    kernels = {
                        s: learned_kernel(num_classes, 2, f"upscore_{s}") for s in self.strides[1:]
                    }
            return scores, kernels

        super().__init__(build)

    def score_maps(
        self,
        images: tf.Tensor,
        *,
        training: bool = False,
        frozen: bool = False,
        dropout_seed: Sequence[int] | tf.Tensor = (0, 0),
    ) -> tuple[dict[int, tf.Tensor], dict[int, tf.Tensor]]:
        """Compute what each skip says, before fusion.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], any size; padded to the 32 k + 1 grid here.
            training: normalize by the batch, drop features.
            frozen: while training, keep the backbone's batch norm on its moving averages.
            dropout_seed: two integers.

        Returns:
            ({stride: float32 [N, h, w, C]}, {stride: upsampling kernel}), the arguments of `fuse`.
        """
        return self._template(pad_to_grid(images), training, frozen, dropout_seed)

    def __call__(self, images: tf.Tensor, **mode) -> tf.Tensor:
        """Compute the class scores of every pixel.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], any size.
            **mode: training, frozen, dropout_seed of `score_maps`.

        Returns:
            Logits, float32 [N, H, W, C].
        """
        height, width = tf.unstack(tf.shape(images)[1:3])
        return self.to_pixels(fuse(*self.score_maps(images, **mode)), height, width)

    def to_pixels(self, fused: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Upsample fused scores to pixels and crop the grid's padding.

        Args:
            fused: float32 [N, h, w, C] at this network's stride.
            height: rows of the image.
            width: columns of the image.

        Returns:
            Logits, float32 [N, height, width, C].
        """
        return upsample(fused, self.stride)[:, :height, :width]


def _score(net: tf.Tensor, num_classes: int, scope: str) -> tf.Tensor:
    """Score layers start at zero, so that a new skip changes nothing at first (Long et al. 4.2)."""
    return slim.conv2d(
        net,
        num_classes,
        1,
        activation_fn=None,
        normalizer_fn=None,
        weights_initializer=tf.zeros_initializer(),
        scope=scope,
    )
