"""Random scale, crop, flip, colour and mixture in TensorFlow, drawn from (seed, position) alone."""

from __future__ import annotations

from collections.abc import Callable

from fcnlib.config import DataConfig
from fcnlib.labels import VOID
from fcnlib.runtime.compat import tf

OBJECT_SCALES = (0.7, 1.4)
OBJECT_JITTER = 0.2
_GREY = 127.5  # 0 in [-1, 1]
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def augment(image, mask, seed: int, position, data: DataConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """Scale, crop or pad, flip and recolour one pair.

    As if the whole image were resized (bilinear, antialiased when it shrinks; the mask nearest, on
    the same pixel centres) and the crop cut out; only the crop is computed.

    Args:
        image: uint8 [H, W, 3].
        mask: uint8 [H, W].
        seed: of the run.
        position: int64 scalar, the sample's place in the run.
        data: gives crop_size S, min_scale, max_scale, flip, colour_jitter, channel_jitter.

    Returns:
        (image float32 [S, S, 3] in [-1, 1], 0 where padded; label uint8 [S, S], 255 where padded).
    """
    draws, crop = _draws(seed, position), data.crop_size
    scale = _between(draws[0], data.min_scale, data.max_scale)
    window = _place(tf.shape(mask), scale, crop, draws[1:3])
    flip = draws[3] < (0.5 if data.flip else 0.0)
    nearest, inside = _nearest(tf.shape(mask), *window, crop)
    label = tf.gather(tf.gather(mask, nearest[0]), nearest[1], axis=1)
    label = tf.where(inside, label, tf.constant(VOID, tf.uint8))
    pixels = _cut(image, *window, crop)  # [S, S, 3]
    pixels = _recolour(pixels, inside, draws[4:10], data.colour_jitter, data.channel_jitter)
    pixels = tf.raw_ops.Reverse(tensor=pixels, dims=tf.stack([False, flip, False]))
    label = tf.raw_ops.Reverse(tensor=label, dims=tf.stack([False, flip]))
    return tf.ensure_shape(pixels, [crop, crop, 3]), tf.ensure_shape(label, [crop, crop])


def mix_classes(
    crop: tuple[tf.Tensor, tf.Tensor],
    read: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    images: int,
    seed: int,
    position,
    data: DataConfig,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Paste half of the classes of another crop into one, now and then.

    The network relies less on co-occurrence then. Void is not pasted; a class that is drawn but
    absent changes nothing.

    Args:
        crop: what `augment` gave.
        read: gives (image, mask) by their index, as `augment` takes them.
        images: how many there are to draw the other from.
        seed: of the run.
        position: int64 scalar, the sample's place in the run.
        data: as for `augment`; also classmix_prob, the share of crops that are mixed.

    Returns:
        (image, label) like `crop`.

    Source: Olsson et al. 2021, ClassMix, section 3.1, https://arxiv.org/abs/2007.07936.
    """
    # The sequence has no places below 0: their draws are free for the other crop and the choice.
    other = -1 - 2 * tf.cast(position, tf.int64)
    draws = _draws(seed, other - 1, 2 + VOID)
    chosen = tf.concat([draws[2:] < 0.5, [False]], axis=0)

    def mixed() -> tuple[tf.Tensor, tf.Tensor]:
        index = tf.cast(draws[1] * images, tf.int32)
        image, label = augment(*read(index), seed, other, data)
        pasted = tf.gather(chosen, tf.cast(label, tf.int32))
        return tf.where(pasted[..., None], image, crop[0]), tf.where(pasted, label, crop[1])

    return tf.cond(draws[0] < data.classmix_prob, mixed, lambda: crop)


def augment_object(image, seed: int, position, crop: int) -> tf.Tensor:
    """Scale, shift, turn by quarters, mirror and recolour the picture of a single object.

    Args:
        image: uint8 [H, W, 3].
        seed: of the run.
        position: int64 scalar, the sample's place in the run.
        crop: side of the result.

    Returns:
        float32 [crop, crop, 3] in [-1, 1], 0 where padded.
    """
    draws = _draws(seed, position)
    size, offset = _place(tf.shape(image)[:2], _between(draws[0], *OBJECT_SCALES), crop, draws[1:3])
    inside = _nearest(tf.shape(image)[:2], size, offset, crop)[1]
    pixels = _recolour(_cut(image, size, offset, crop), inside, draws[3:6], OBJECT_JITTER)
    turned = tf.where(draws[6] < 0.5, tf.constant([1, 0, 2]), tf.constant([0, 1, 2]))
    mirrored = tf.concat([draws[7:9] < 0.5, [False]], axis=0)
    pixels = tf.raw_ops.Reverse(tensor=tf.transpose(pixels, turned), dims=mirrored)
    return tf.ensure_shape(pixels, [crop, crop, 3])


def centre_object(image, crop: int) -> tf.Tensor:
    """Cut the middle out of the picture of an object, uint8 [H, W, 3], without resizing.

    Return float32 [crop, crop, 3] in [-1, 1], 0 where padded.
    """
    size = tf.shape(image)[:2]
    pixels = _cut(image, size, (size - crop) // 2, crop) / _GREY
    return tf.ensure_shape(pixels, [crop, crop, 3])


def _draws(seed: int, position, count: int = 10) -> tf.Tensor:
    # The generator by name: the default may differ between devices and releases.
    numbers = tf.stack([tf.constant(seed, tf.int64), tf.cast(position, tf.int64)])
    return tf.random.stateless_uniform([count], numbers, alg="philox")


def _between(draw, low: float, high: float):
    return low + (high - low) * draw


def _place(shape, scale, crop: int, draws) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the scaled size and the crop's corner in it, int32 [2] each; negative = padding."""
    size = tf.cast(tf.maximum(tf.round(tf.cast(shape, tf.float32) * scale), 1.0), tf.int32)
    slack = size - crop
    steps = tf.cast(draws * tf.cast(tf.abs(slack) + 1, tf.float32), tf.int32)
    return size, tf.sign(slack) * tf.minimum(steps, tf.abs(slack))


def _nearest(shape, size, offset, crop: int) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Return the source rows and columns nearest the crop's, and where the image is, [S, S]."""
    # Pixel centres (2i + 1) / 2 in whole numbers, so no rounding errs; 64 bits for large images.
    shape, size, offset = (tf.cast(pair, tf.int64) for pair in (shape, size, offset))
    places = 2 * tf.range(crop, dtype=tf.int64)[:, None] + 1 + 2 * offset
    nearest = places * shape // (2 * size)
    inside = (nearest >= 0) & (nearest < shape)
    nearest = tf.clip_by_value(nearest, 0, shape - 1)
    return tf.unstack(nearest, axis=1), inside[:, None, 0] & inside[None, :, 1]


def _cut(image, size, offset, crop: int) -> tf.Tensor:
    """Resize an image to `size` and cut the crop at `offset`: float32, -127.5..127.5, 0 outside."""
    centred = tf.cast(image, tf.float32) - _GREY
    scale = tf.cast(size, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
    place = {"size": [crop, crop], "scale": scale, "translation": -tf.cast(offset, tf.float32)}
    smooth = {"kernel_type": "triangle", "antialias": True}
    return tf.raw_ops.ScaleAndTranslate(images=centred[None], **place, **smooth)[0]


def _recolour(pixels, inside, draws, jitter: float, tint: float = 0.0) -> tf.Tensor:
    """Bring centred pixels to [-1, 1], changing brightness, contrast, saturation, each channel."""
    bright, contrast, saturation = (_between(draws[i], 1 - jitter, 1 + jitter) for i in range(3))
    if tint:
        bright = bright * _between(draws[3:6], 1 - tint, 1 + tint)
    # All are linear: one 3x3 matrix, and a shift that padding must not get.
    mix = saturation * tf.eye(3) + (1 - saturation) * tf.constant(_LUMA)[:, None]
    mixed = tf.matmul(tf.reshape(pixels, [-1, 3]), mix * (bright * contrast / _GREY))
    shift = tf.cast(inside, tf.float32)[..., None] * (contrast * (bright - 1))
    return tf.clip_by_value(tf.reshape(mixed, tf.shape(pixels)) + shift, -1.0, 1.0)
