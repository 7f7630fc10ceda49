"""The one border between pixels, uint8 0..255, and the images in [-1, 1] that networks take."""

from __future__ import annotations

import numpy as np

from fcnlib.runtime.compat import tf

BYTES_TO_UNIT = 127.5  # pixels 0..255 are images in [-1, 1], times this, plus this


def preprocess(images):
    """Scale pixels to what a network takes: uint8 0..255 -> float32 in [-1, 1], array or tensor."""
    if tf.is_tensor(images):
        return tf.cast(images, tf.float32) / BYTES_TO_UNIT - 1.0
    return np.asarray(images, np.float32) / np.float32(BYTES_TO_UNIT) - 1


def unpreprocess(pixels):
    """Undo `preprocess`: float in [-1, 1] -> uint8 0..255, rounded; values outside are clipped."""
    scaled = np.round((np.asarray(pixels) + 1) * BYTES_TO_UNIT)
    return np.clip(scaled, 0, 255).astype(np.uint8)
