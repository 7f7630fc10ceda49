"""Networks that are not the paper's: the student project's of 2017, whole and fault by fault.

Its Inception-v3 had biases in place of batch norm; pixels went in as 0..255; void was trained as
one more class; the decoder upsampled features with transposed convolutions whose sample points do
not meet those of the maps they are added to. Importing this module lets `builders.build_fcn` build
what the settings `fusion`, `input_scaling` and `void` ask for.

Source: https://github.com/DeepSegment/FCN-GoogLeNet, inception_v3_fcn.py lines 631 to 653,
inception_FCN.py line 142, BatchDatsetReader.py line 47.
"""

from __future__ import annotations

import dataclasses

from fcnlib import builders
from fcnlib.backbone import features
from fcnlib.blocks import BACKBONES, Backbone
from fcnlib.config import Config
from fcnlib.errors import InputError
from fcnlib.network import FCN, strides_down_to
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule
from fcnlib.upsampling import GRID, bilinear_kernel

SKIPS_2017 = {16: "Mixed_6e", 8: "Mixed_5c"}
LEAST_SIDE = 3 * GRID  # pixels; below that its unpadded layers have nothing left to look at


def _spec(backbone: str, raw_inputs: bool) -> Backbone:
    spec = BACKBONES[backbone]
    return dataclasses.replace(spec, mean=(0.0, 0.0, 0.0)) if raw_inputs else spec


class VariantFCN(FCN):
    """An FCN with void as a class, raw pixels, or the fusion of features in place of scores."""

    def __init__(
        self,
        num_classes: int,
        stride: int,
        *,
        fusion: str = "score",
        void_class: bool = False,
        raw_inputs: bool = False,
        **settings,
    ):
        """Describe the network.

        Args:
            num_classes: C.
            stride: of the finest map fused.
            fusion: "score" as in the paper, or "feature": features are upsampled to the channels
                of the next finer map by a learned kernel and added, and the sum alone is scored.
            void_class: score void as one more class, the last.
            raw_inputs: feed pixels 0..255.
            **settings: of `FCN`.
        """
        super().__init__(num_classes, stride, **settings)
        self.spec = _spec(self.backbone, raw_inputs)
        self.outputs, self.fusion = num_classes + void_class, fusion
        if fusion == "feature":  # only the finest map is scored, so each network has its own layer
            self.private = ("FCN/score_",)

    def head(self, maps):
        """Build maps and kernels whose fusion is the score of the summed features.

        A 1 x 1 score layer commutes with sums and upsampling, so the finest kernel has it in it.
        """
        if self.fusion == "score":
            return super().head(maps)
        finest, channels, kernels = self.stride, [m.shape[-1] for m in maps.values()], {}
        for stride, coarse, fine in zip(self.strides[1:], channels, channels[1:], strict=False):
            kernels[stride] = self._projection(coarse, fine, f"upfeature_{stride}")
        with tf.compat.v1.variable_scope(f"score_{finest}"):
            zeros, shape = tf.zeros_initializer(), [1, 1, channels[-1], self.outputs]
            score = slim.model_variable("weights", shape, initializer=zeros)
            bias = slim.model_variable("biases", [self.outputs], initializer=zeros)
        if finest in kernels:
            kernels[finest] = tf.einsum("hwfc,fk->hwkc", kernels[finest], score[0, 0])
        return {**maps, finest: tf.nn.conv2d(maps[finest], score, 1, "VALID") + bias}, kernels

    def _projection(self, coarse: int, fine: int, scope: str) -> tf.Variable:
        """Create a kernel [k, k, fine, coarse] that upsamples by two and changes the channels.

        It starts as a random 1 x 1 convolution that keeps the variance, upsampled bilinearly.
        """
        ramp = bilinear_kernel(4 if self.half_pixel_centers else 3)[:, :, None, None]

        def initialize(shape, dtype=None, partition_info=None):
            return ramp * tf.random.normal([1, 1, *shape[2:]], stddev=coarse**-0.5)

        with tf.compat.v1.variable_scope(scope):
            shape = [*ramp.shape[:2], fine, coarse]
            return slim.model_variable("weights", shape, initializer=initialize)


class Decoder2017(SlimModule):
    """Inception-v3 without padding and the decoder of 2017, which closes on multiples of 32."""

    private: tuple[str, ...] = ()

    def __init__(
        self,
        num_classes: int,
        stride: int = 8,
        *,
        void_class: bool = True,
        raw_inputs: bool = False,
        backbone: str = "inception_v3",
        **settings,
    ):
        """Describe the network.

        Args:
            num_classes: C.
            stride: of the finest map added: 32 (none), 16 or 8; the decoder is always the same.
            void_class: score void as one more class.
            raw_inputs: feed pixels 0..255.
            backbone: a name of `blocks.BACKBONES`.
            **settings: of `features`.

        Raises:
            InputError: it had no skip of this stride.
        """
        if stride not in (32, *SKIPS_2017):
            raise InputError(f"strides: the network of 2017 had strides 32, 16 and 8, not {stride}")
        self.strides, self.stride = strides_down_to(stride), stride
        self.num_classes, self.outputs = num_classes, num_classes + void_class
        settings["backbone"] = _spec(backbone, raw_inputs)

        def build(images, training):
            end_points = features(images, training=training, padding="VALID", **settings)
            net = end_points["Mixed_7c"]
            with tf.compat.v1.variable_scope("FCN"):
                for at, kernel in ((16, 4), (8, 3)):
                    skip = end_points[SKIPS_2017[at]]
                    net = _up(net, skip.shape[-1], kernel, 2, f"up_{at}")
                    if at >= stride:
                        net = net + skip
                return _up(net, self.outputs, 32, 8, "up_1")

        super().__init__(build)

    def __call__(
        self, images: tf.Tensor, training: bool = False, frozen: bool = False, dropout_seed=None
    ) -> tf.Tensor:
        """Return the logits of every pixel, as `FCN` does; its dropout reached no logit.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], any size; padded with mid-grey.
            training: normalize by the batch, where it has batch norm.
            frozen: keep batch norm on its moving averages.
            dropout_seed: not used.
        """
        height, width = tf.unstack(tf.shape(images)[1:3])
        target = [tf.maximum(-(-n // GRID) * GRID, LEAST_SIDE) for n in (height, width)]
        padding = [[0, 0], [0, target[0] - height], [0, target[1] - width], [0, 0]]
        scores = self._template(tf.pad(images, padding), training and not frozen)
        return scores[:, :height, :width]


def _up(net: tf.Tensor, channels: int, kernel: int, stride: int, scope: str) -> tf.Tensor:
    plain = {"activation_fn": None, "weights_initializer": slim.xavier_initializer()}
    return slim.conv2d_transpose(net, channels, kernel, stride, "VALID", scope=scope, **plain)


def build_variant(config: Config, num_classes: int, stride: int, **settings) -> SlimModule:
    """Return the network, without variables, that `fusion`, `input_scaling` and `void` ask for.

    Args:
        config: gives these settings.
        num_classes: C.
        stride: of the finest skip.
        **settings: of `features`.

    Raises:
        InputError: aux_loss_weight asks for score maps that it does not have.
    """
    given = config.network
    if given.fusion != "score" and config.train.aux_loss_weight:
        raise InputError("aux_loss_weight needs score maps: set fusion=score, or aux_loss_weight=0")
    settings |= {"void_class": given.void == "class", "raw_inputs": given.input_scaling == "raw"}
    if given.fusion == "2017":
        return Decoder2017(num_classes, stride, **settings)
    settings |= {"fusion": given.fusion, **builders.head_settings(config)}
    return VariantFCN(num_classes, stride, **settings)


builders.BUILDERS["variant"] = build_variant
