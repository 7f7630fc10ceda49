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
from fcnlib.fusion import feature_fusion, fuse, sums
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule
from fcnlib.upsampling import learned_kernel, pad_to_grid, upsample

SKIPS = BACKBONES["inception_v3"].skips


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


class FCN(SlimModule):
    """A network that gives every pixel of an image of any size a score for every class."""

    def __init__(
        self,
        num_classes: int,
        stride: int,
        *,
        fusion: str = "score",
        learned: bool = True,
        dropout: float = 0.1,
        skip_scales: Sequence[float] = (),
        void_class: bool = False,
        **settings,
    ):
        """Describe the network; its variables appear with the first call.

        Args:
            num_classes: classes C, background included, void not.
            stride: of the finest map fused: 32, 16, 8 or 4.
            fusion: what is added up, "score" maps or "feature" maps.
            learned: the upsampling between skips is trained (bilinear at the start); between
                features it always is.
            dropout: share of the coarsest features dropped while training.
            skip_scales: factors on the features of the skips from stride 16 on; the reference has
                0.01 and 0.0001 to train FCN-8s at once on VGG's unnormalized features.
            void_class: score void as one more class, the mistake of 2017; its scores come last.
            **settings: of `features`: backbone, depth_multiplier, min_depth, batch_norm and so on.

        Raises:
            ValueError: no skip has this stride.
        """
        self.backbone = settings.get("backbone", "inception_v3")
        made = BACKBONES[self.backbone]
        self.strides = strides_down_to(stride)
        self.stride, self.num_classes, self.void_class = stride, num_classes, void_class
        self.skips, self.centred = made.skips, made.centred
        self.raw_inputs, self.fusion = settings.get("raw_inputs", False), fusion
        self.dtype = settings.get("dtype", tf.float32)
        outputs = num_classes + void_class
        self.skip_scales = scale = dict(zip(self.strides[1:], skip_scales, strict=False))

        def build(images, training, frozen, dropout_seed, unscored=False):
            drop = {"dropout": dropout, "dropout_seed": dropout_seed}
            mode = {"training": training, "frozen": frozen, "padding": "SAME"}
            end_points = features(images, **mode, **drop, **settings)
            maps = {s: end_points[self.skips[s]] for s in self.strides}  # [N, H / s, W / s, ...]
            if training and dropout:
                maps[32] = stateless_dropout(maps[32], dropout, dropout_seed)
            maps = {s: scale.get(s, 1.0) * m if s in scale else m for s, m in maps.items()}
            if unscored:
                return maps
            with tf.compat.v1.variable_scope("FCN"):
                if fusion == "feature":
                    return feature_fusion(maps, outputs, self.centred)
                scores = {s: _score(m, outputs, f"score_{s}") for s, m in maps.items()}
                finer = self.strides[1:] if learned else ()
                return scores, {
                    s: learned_kernel(outputs, 2, f"upscore_{s}", self.centred) for s in finer
                }

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
            images: float32 [N, H, W, 3] in [-1, 1], any size; padded to the grid here.
            training: normalize by the batch, drop features.
            frozen: while training, keep the backbone's batch norm on its moving averages.
            dropout_seed: two integers.

        Returns:
            ({stride: float32 [N, h, w, C]}, {stride: upsampling kernel}), what `fuse` takes. With
            fusion "feature" only the finest map holds scores, the others features.
        """
        return self._template(pad_to_grid(images, self.centred), training, frozen, dropout_seed)

    def feature_maps(self, images: tf.Tensor) -> dict[int, tf.Tensor]:
        """Return what a built network scores, as `score_maps`: {stride: [N, h, w, channels]}."""
        return self._template(pad_to_grid(images, self.centred), False, False, (0, 0), True)

    def fuse(
        self,
        scores: Mapping[int, tf.Tensor],
        kernels: Mapping[int, tf.Tensor | None],
        weights: Mapping[int, float] | None = None,
    ) -> tf.Tensor:
        """Add up this network's maps: `fusion.fuse` on its grid.

        Args:
            scores: from `score_maps`.
            kernels: from `score_maps`.
            weights: {stride: factor on its map}; 1 where absent.

        Returns:
            float32 [N, h, w, C] at this network's stride.
        """
        return fuse(scores, kernels, weights, self.centred)

    def fused(self, images: tf.Tensor, **mode) -> tf.Tensor:
        """Return `fuse` of the `score_maps` of images, of whose arguments `mode` takes the rest."""
        return self.fuse(*self.score_maps(images, **mode))

    def sums(self, images: tf.Tensor, **mode) -> dict[int, tf.Tensor]:
        """Return {stride: sum of the score maps down to it} of images; the last is `fused`."""
        return sums(*self.score_maps(images, **mode), centred=self.centred)

    def __call__(self, images: tf.Tensor, **mode) -> tf.Tensor:
        """Compute the class scores of every pixel.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], any size.
            **mode: training, frozen, dropout_seed of `score_maps`.

        Returns:
            Logits, float32 [N, H, W, C]; with a void class [N, H, W, C + 1].
        """
        height, width = tf.unstack(tf.shape(images)[1:3])
        return self.to_pixels(self.fused(images, **mode), height, width)

    def to_pixels(
        self, fused: tf.Tensor, height: int, width: int, stride: int | None = None
    ) -> tf.Tensor:
        """Upsample fused scores to pixels and crop the grid's padding.

        Args:
            fused: float32 [N, h, w, C].
            height: rows of the image.
            width: columns of the image.
            stride: of the scores; None for this network's.

        Returns:
            Logits, float32 [N, height, width, C].
        """
        return upsample(fused, stride or self.stride, self.centred)[:, :height, :width]


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
