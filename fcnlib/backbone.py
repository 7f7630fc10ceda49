"""Inception-v3 from tf-slim layers, built from its table, and the classifier that it comes from.

Variable names equal those of the released slim checkpoint (`InceptionV3/Mixed_5b/Branch_0/...`).
With `padding="VALID"` the network is the classifier; with "SAME" its sample points fall on the
grid that segmentation needs (see `geometry.py`).

Source: https://arxiv.org/abs/1512.00567 and https://github.com/google-research/tf-slim.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fcnlib.blocks import INCEPTION_V3, Conv, Fork, Layer, Mixed, Pool
from fcnlib.compat import slim, tf

SCOPE = "InceptionV3"
LOGITS = f"{SCOPE}/Logits/Conv2d_1c_1x1"
BATCH_NORM_EPSILON = 1e-3


def inception_v3(
    images: tf.Tensor,
    *,
    training: bool,
    padding: str = "VALID",
    depth_multiplier: float = 1.0,
    min_depth: int = 16,
    batch_norm_decay: float = 0.9997,
    final_end_point: str = "Mixed_7c",
) -> dict[str, tf.Tensor]:
    """Build Inception-v3 without its classifier; call it inside a template or a variable scope.

    Args:
        images: float32 [N, H, W, 3] in [-1, 1].
        training: True normalizes by the batch and updates the moving averages; False normalizes by
            the moving averages and leaves them alone (also what a frozen backbone needs).
        padding: "VALID" as in the classifier, or "SAME"; it concerns only the layers that trim.
        depth_multiplier: scales the channels of every layer.
        min_depth: the least number of channels a layer gets.
        batch_norm_decay: of the moving averages.
        final_end_point: the last block to build.

    Returns:
        {end point: float32 [N, H / stride, W / stride, channels]} in order of depth.

    Raises:
        ValueError: an unknown padding or end point, or a multiplier that is not positive.
    """
    names = [layer.name for layer in INCEPTION_V3]
    if padding not in ("VALID", "SAME") or depth_multiplier <= 0 or final_end_point not in names:
        raise ValueError(
            f"padding {padding!r} must be VALID or SAME, depth_multiplier {depth_multiplier} "
            f"above 0, final_end_point {final_end_point!r} one of {', '.join(names)}"
        )

    def depth(channels: int) -> int:
        return max(int(channels * depth_multiplier), min_depth)

    normalizer = {
        "is_training": training,
        "decay": batch_norm_decay,
        "epsilon": BATCH_NORM_EPSILON,
        "updates_collections": None,  # update in place; slim's other route needs tf_keras
        "fused": True,
    }
    end_points = {}
    net = images
    with (
        tf.compat.v1.variable_scope(SCOPE),
        slim.arg_scope(
            [slim.conv2d],
            weights_initializer=slim.variance_scaling_initializer(),
            normalizer_fn=slim.batch_norm,
            normalizer_params=normalizer,
        ),
    ):
        for layer in INCEPTION_V3[: names.index(final_end_point) + 1]:
            net = end_points[layer.name] = _apply(net, layer, depth, padding)
    return end_points


def _apply(net: tf.Tensor, layer: Layer, depth: Callable[[int], int], padding: str) -> tf.Tensor:
    match layer:
        case Conv():
            pad = padding if layer.trims else "SAME"
            return slim.conv2d(
                net, depth(layer.depth), layer.kernel, layer.stride, pad, scope=layer.name
            )
        case Pool():
            pool = slim.avg_pool2d if layer.average else slim.max_pool2d
            pad = padding if layer.trims else "SAME"
            return pool(net, layer.kernel, layer.stride, pad, scope=layer.name)
        case Fork():
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
            return tf.concat(outputs, axis=3)


class SlimModule(tf.Module):
    """A function of slim layers that owns its variables and can be called again.

    Wraps `tf.compat.v1.make_template`, which prefixes every variable ("net/", "net_1/"); names
    here are without the prefix, as in a checkpoint.
    """

    def __init__(self, build: Callable[..., object]):
        """Wrap a function that builds slim layers; nothing is created before the first call."""
        super().__init__()
        owner = threading.get_ident()

        def guarded(*arguments):
            # A template finds its variables through the thread it was made in; in another it would
            # make new ones and answer with those, without an error.
            if threading.get_ident() != owner:
                raise RuntimeError("a network answers only in the thread that built it")
            return build(*arguments)

        self._template = tf.compat.v1.make_template("net", guarded)

    def named_variables(self) -> dict[str, tf.Variable]:
        """Return all variables, moving averages included, by their checkpoint name."""
        variables = self._template.variables
        return {v.name.split("/", 1)[1].split(":")[0]: v for v in variables}

    def trainable(self, *, backbone: bool, head: bool) -> dict[str, tf.Variable]:
        """Return the variables to train, by name.

        Args:
            backbone: take those of the backbone (under `InceptionV3/`, its classifier left out).
            head: take all others; every trainable variable is in exactly one of the two groups.

        Returns:
            {name: variable} in the order of creation.
        """
        wanted = {True: backbone, False: head}
        everything = self.named_variables()
        ids = {id(v) for v in self._template.trainable_variables}
        return {n: v for n, v in everything.items() if id(v) in ids and wanted[is_backbone(n)]}


def is_backbone(name: str) -> bool:
    """Return whether a variable of this name belongs to the backbone rather than to a head."""
    return name.startswith(f"{SCOPE}/") and not name.startswith((LOGITS, f"{SCOPE}/AuxLogits"))


class Classifier(SlimModule):
    """Inception-v3 with its 1 x 1 convolution of logits, pooled or as a map.

    The average pool and the 1 x 1 convolution commute, so the mean of the dense map is the
    classifier's answer: the whole of "convolutionalizing" this network is to leave the pool out.

    Source: Long et al. 2015, section 4.1 ("the final average pooling layer" dropped).
    """

    def __init__(self, num_classes: int, *, dropout: float = 0.2, **backbone):
        """Describe the classifier.

        Args:
            num_classes: outputs.
            dropout: share of the pooled features dropped while training.
            **backbone: settings of `inception_v3`, all but `images` and `training`.
        """
        self.num_classes = num_classes

        def build(images, training, dropout_seed):
            net = inception_v3(images, training=training, **backbone)["Mixed_7c"]
            if training and dropout:
                # One mask an image, as if drawn after the pool.
                net = stateless_dropout(net, dropout, dropout_seed, per_image=True)
            return slim.conv2d(
                net, num_classes, 1, activation_fn=None, normalizer_fn=None, scope=LOGITS
            )

        super().__init__(build)

    def score_map(
        self, images: tf.Tensor, training: bool = False, dropout_seed=(0, 0)
    ) -> tf.Tensor:
        """Compute the logits before the pool.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1].
            training: normalize by the batch, drop features.
            dropout_seed: two integers.

        Returns:
            float32 [N, h, w, num_classes].
        """
        return self._template(images, training, dropout_seed)

    def __call__(self, images: tf.Tensor, training: bool = False, dropout_seed=(0, 0)) -> tf.Tensor:
        """Return the logits, float32 [N, num_classes], of images float32 [N, H, W, 3]."""
        return tf.reduce_mean(self.score_map(images, training, dropout_seed), axis=[1, 2])


def stateless_dropout(net: tf.Tensor, rate: float, seed, per_image: bool = False) -> tf.Tensor:
    """Drop a share of the channels' values, the same ones for the same seed.

    Args:
        net: float32 [N, h, w, C].
        rate: share dropped, in [0, 1); the rest is scaled up by 1 / (1 - rate).
        seed: two integers, such as (run seed, step); a resumed run draws what it would have drawn.
        per_image: one mask for all places of an image.

    Returns:
        float32 [N, h, w, C].
    """
    shape = tf.shape(net)
    noise = tf.stack([shape[0], 1, 1, shape[3]]) if per_image else shape
    keep = tf.random.stateless_uniform(noise, tf.cast(seed, tf.int32)) >= rate
    return net * tf.cast(keep, net.dtype) / (1.0 - rate)
