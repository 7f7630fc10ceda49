"""The fully convolutional network: FCN-32s, 16s, 8s and 4s from one table of skips.

Each stride of the backbone gets a 1 x 1 score layer, started at zero; the coarsest map of scores is
upsampled by two and the next finer one added, down to the network's stride; the rest of the way to
pixels is fixed bilinear. On the backbone's grid (`geometry.grid_size`) all maps share their sample
points, so nothing is cropped or shifted between them.

Source: Long et al. 2015, sections 4.2 and 4.3, figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fcnlib.backbone import features, stateless_dropout
from fcnlib.blocks import BACKBONES
from fcnlib.errors import InputError
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule
from fcnlib.upsampling import diagonal_kernel, pad_to_grid, transposed, upsample

SKIPS = BACKBONES["inception_v3"].skips
Maps = dict[int, tf.Tensor]  # {stride: [N, H/stride, W/stride, channels]}, or a kernel each


def strides_down_to(stride: int) -> tuple[int, ...]:
    """Return the strides that a network fuses, coarse to fine: (32, 16, 8) for 8.

    Raises:
        InputError: no skip has this stride.
    """
    if stride not in SKIPS:
        there = ", ".join(map(str, SKIPS))
        raise InputError(f"strides: no network of stride {stride}; there are {there}")
    return tuple(s for s in SKIPS if s >= stride)


def fuse(
    scores: Mapping[int, tf.Tensor],
    kernels: Mapping[int, tf.Tensor],
    weights: Mapping[int, float] | None = None,
    half_pixel_centers: bool = False,
) -> tf.Tensor:
    """Add up score maps, coarse to fine, upsampling by two on the way.

    Args:
        scores: {stride: float32 [N, h, w, C]}, strides halving, sizes on the backbone's grid.
        kernels: {stride reached: kernel of `transposed` [k, k, C, C]}; absent means fixed bilinear.
        weights: {stride: factor on its score map}; 1 where absent.
        half_pixel_centers: which grid it is, where a kernel is absent.

    Returns:
        float32 [N, h, w, C] at the finest of the strides.
    """
    fused = None
    for stride in sorted(scores, reverse=True):
        score = scores[stride]  # [N, H/stride, W/stride, C]
        if weights and stride in weights:
            score = score * weights[stride]
        if fused is not None and stride in kernels:
            score = transposed(fused, kernels[stride], 2) + score
        elif fused is not None:
            score = upsample(fused, 2, half_pixel_centers) + score
        fused = score
    return fused


class FCN(SlimModule):
    """A network that gives every pixel of an image of any size a score for every class."""

    private: tuple[str, ...] = ()  # name prefixes of layers that no other network can take over

    def __init__(
        self,
        num_classes: int,
        stride: int,
        *,
        backbone: str = "inception_v3",
        learned: bool = True,
        dropout: float = 0.1,
        skip_scales: Sequence[float] = (),
        **settings,
    ):
        """Describe the network; its variables appear with the first call.

        Args:
            num_classes: classes C, background included, void not.
            stride: of the finest map fused: 32, 16, 8 or 4.
            backbone: a name of `blocks.BACKBONES`.
            learned: the upsampling between skips is trained (bilinear at the start).
            dropout: share of the coarsest features dropped while training.
            skip_scales: factors on the features of the skips from stride 16 on; the reference has
                0.01 and 0.0001 to train FCN-8s at once on VGG's unnormalized features.
            **settings: of `features`: depth_multiplier, min_depth, batch_norm, dtype and so on.
        """
        self.backbone, self.spec = backbone, BACKBONES[backbone]
        self.half_pixel_centers, self.skips = self.spec.half_pixel_centers, self.spec.skips
        self.strides, self.stride = strides_down_to(stride), stride
        self.num_classes = self.outputs = num_classes  # scores a pixel
        self.learned, self.dtype = learned, settings.get("dtype", tf.float32)
        self.skip_scales = dict(zip(self.strides[1:], skip_scales, strict=False))

        def build(images, training, frozen, dropout_seed, scored=True):
            # images: [N, H, W, 3] on the grid
            drop = {"dropout": dropout, "dropout_seed": dropout_seed}
            mode = {"training": training, "frozen": frozen, "padding": "SAME"}
            end_points = features(images, backbone=self.spec, **mode, **drop, **settings)
            maps = {s: end_points[self.skips[s]] for s in self.strides}  # [N, H/s, W/s, channels]
            if training and dropout:
                maps[32] = stateless_dropout(maps[32], dropout, dropout_seed)
            for stride, scale in self.skip_scales.items():
                maps[stride] = scale * maps[stride]
            if not scored:
                return maps
            with tf.compat.v1.variable_scope("FCN"):
                return self.head(maps)

        super().__init__(build)

    def head(self, maps: Mapping[int, tf.Tensor]) -> tuple[Maps, Maps]:
        """Build score layers and upsampling kernels on {stride: [N, H/s, W/s, channels]}."""
        # Zero at the start, so that a new skip changes nothing at first (Long et al. 2015, 4.2).
        plain = {"activation_fn": None, "normalizer_fn": None}
        plain["weights_initializer"] = tf.zeros_initializer()
        scores = {
            s: slim.conv2d(net, self.outputs, 1, scope=f"score_{s}", **plain)  # [N, H/s, W/s, C]
            for s, net in maps.items()
        }
        bilinear = diagonal_kernel(self.outputs, 2, self.half_pixel_centers)  # [k, k, C, C]
        kernels = {}
        for stride in self.strides[1:] if self.learned else ():
            with tf.compat.v1.variable_scope(f"upscore_{stride}"):
                start = tf.compat.v1.constant_initializer(bilinear)
                kernels[stride] = slim.model_variable("weights", bilinear.shape, initializer=start)
        return scores, kernels

    def score_maps(
        self,
        images: tf.Tensor,
        *,
        training: bool = False,
        frozen: bool = False,
        dropout_seed: Sequence[int] | tf.Tensor = (0, 0),
    ) -> tuple[Maps, Maps]:
        """Compute the scores of each skip, before fusion.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], any size; padded to the grid here.
            training: normalize by the batch, drop features.
            frozen: while training, keep the backbone's batch norm on its moving averages.
            dropout_seed: as `seed` of `backbone.stateless_dropout`.

        Returns:
            ({stride: float32 [N, h, w, C]}, {stride: upsampling kernel}), what `fuse` takes.
        """
        images = pad_to_grid(images, self.half_pixel_centers)
        return self._template(images, training, frozen, dropout_seed)

    def feature_maps(self, images: tf.Tensor) -> dict[int, tf.Tensor]:
        """Return what a built network scores: {stride: [N, h, w, channels]} of images as above."""
        images = pad_to_grid(images, self.half_pixel_centers)
        return self._template(images, False, False, (0, 0), False)

    def fuse(self, scores: Mapping[int, tf.Tensor], *rest) -> tf.Tensor:
        """Fuse what `score_maps` gives; arguments as of the function `fuse`."""
        return fuse(scores, *rest, half_pixel_centers=self.half_pixel_centers)

    def fused(self, images: tf.Tensor, **mode) -> tf.Tensor:
        """Return the fused scores of images; keyword arguments as in `score_maps`."""
        return self.fuse(*self.score_maps(images, **mode))

    def partial_sums(self, images: tf.Tensor, **mode) -> dict[int, tf.Tensor]:
        """Return {stride: sum of the score maps down to it}, coarse to fine."""
        scores, kernels = self.score_maps(images, **mode)
        sums: dict[int, tf.Tensor] = {}
        for stride, score in scores.items():
            coarser = {2 * stride: sums[2 * stride]} if sums else {}
            sums[stride] = self.fuse(coarser | {stride: score}, kernels)
        return sums

    def __call__(self, images: tf.Tensor, **mode) -> tf.Tensor:
        """Return the logits of every pixel, [N, H, W, C]; arguments as in `score_maps`."""
        height, width = tf.unstack(tf.shape(images)[1:3])
        return self.to_pixels(self.fused(images, **mode), height, width)

    def to_pixels(self, fused: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Return logits [N, height, width, C]: scores upsampled, the grid's padding cropped.

        Args:
            fused: float32 [N, h, w, C].
            height: rows of the image.
            width: columns of the image.
        """
        return upsample(fused, self.stride, self.half_pixel_centers)[:, :height, :width]
