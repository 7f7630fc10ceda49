"""The student project's network of 2017 as it really ran, to measure what each fault cost.

Its code built Inception-v3 outside the argument scope that holds batch norm, so the convolutions
had biases instead, and a restore that ignores missing variables hid it; pixels went in as 0..255;
void was trained as one more class; the decoder upsampled features with transposed convolutions
whose sample points do not meet those of the maps they are added to. Its metric is
`diagnosis.mean_iou_2017`.

Source: https://github.com/DeepSegment/FCN-GoogLeNet, inception_v3_fcn.py lines 631 to 653,
inception_FCN.py line 142, BatchDatsetReader.py line 47.
"""

from __future__ import annotations

from fcnlib.backbone import features
from fcnlib.network import strides_down_to
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule
from fcnlib.upsampling import GRID

SKIPS_2017 = {16: "Mixed_6e", 8: "Mixed_5c"}
LEAST_SIDE = 3 * GRID  # pixels; below that its unpadded layers have nothing left to look at


class Decoder2017(SlimModule):
    """Inception-v3 without padding and the decoder of 2017, for images of any size.

    The decoder closes only on multiples of 32 pixels; images are padded to them with mid-grey.
    """

    def __init__(self, num_classes: int, stride: int = 8, *, void_class: bool = True, **settings):
        """Describe the network; its variables appear with the first call.

        Args:
            num_classes: classes C, background included, void not.
            stride: of the finest map added: 32 (none), 16 or 8; the decoder is always the same.
            void_class: score void as one more class, as it did.
            **settings: of `features`, all but `images`, `training` and padding.

        Raises:
            ValueError: it had no skip of this stride.
        """
        if stride not in (32, *SKIPS_2017):
            raise ValueError(f"the network of 2017 had strides 32, 16 and 8, not {stride}")
        self.strides = strides_down_to(stride)
        self.stride, self.num_classes, self.void_class = stride, num_classes, void_class

        def build(images, training):
            end_points = features(images, training=training, padding="VALID", **settings)
            net = end_points["Mixed_7c"]
            with tf.compat.v1.variable_scope("FCN"):
                for at, kernel in ((16, 4), (8, 3)):
                    skip = end_points[SKIPS_2017[at]]
                    net = _up(net, skip.shape[-1], kernel, 2, f"up_{at}")
                    if at >= stride:
                        net = net + skip
                return _up(net, num_classes + void_class, 32, 8, "up_1")

        super().__init__(build)

    def __call__(
        self, images: tf.Tensor, training: bool = False, frozen: bool = False, dropout_seed=None
    ) -> tf.Tensor:
        """Compute the class scores of every pixel.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], any size.
            training: normalize by the batch, where it has batch norm.
            frozen: while training, keep batch norm on its moving averages.
            dropout_seed: not used; its dropout lay on a branch that the decoder does not take.

        Returns:
            Logits, float32 [N, H, W, C + 1], or C without the void class.
        """
        height, width = tf.unstack(tf.shape(images)[1:3])
        target = [tf.maximum(-(-n // GRID) * GRID, LEAST_SIDE) for n in (height, width)]
        padding = [[0, 0], [0, target[0] - height], [0, target[1] - width], [0, 0]]
        scores = self._template(tf.pad(images, padding), training and not frozen)
        return scores[:, :height, :width]


def _up(net: tf.Tensor, channels: int, kernel: int, stride: int, scope: str) -> tf.Tensor:
    return slim.conv2d_transpose(
        net,
        channels,
        kernel,
        stride,
        "VALID",
        activation_fn=None,
        weights_initializer=slim.xavier_initializer(),
        scope=scope,
    )
