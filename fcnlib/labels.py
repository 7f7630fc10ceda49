"""Label sets: class names, palettes, and what a value in a mask file stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VOID = 255
_VOID_COLOUR = (224, 224, 192)  # what the bit rule of VOC gives for 255
_REFUSED = -1


def voc_palette(count: int) -> np.ndarray:
    """Compute the first colours of the PASCAL VOC palette.

    Bits 0, 1, 2 of the label go to the top free bits of red, green, blue; then the next three bits.

    Args:
        count: how many colours, 0..256.

    Returns:
        RGB, uint8 [count, 3].

    Source: `VOClabelcolormap` of the VOC devkit.
    """
    labels = np.arange(count)
    palette = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((labels >> channel & 1) << (7 - bit)).astype(np.uint8)
        labels >>= 3
    return palette


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Classes of a data set, their colours, and the meaning of the values in its mask files.

    Attributes:
        name: the name of the set.
        classes: class names; the place in the tuple is the class index.
        palette: RGB of each class, uint8 [C, 3].
        lut: int16 [256], from a value in a file to a class index 0..C-1, VOID, or -1 (refused).
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    lut: np.ndarray

    @property
    def num_classes(self) -> int:
        """Return the number of classes, void not among them."""
        return len(self.classes)

    def colorize(self, mask: np.ndarray) -> np.ndarray:
        """Paint a mask in the colours of its classes.

        Args:
            mask: uint8 [H, W], class indices 0..C-1 or VOID.

        Returns:
            RGB, uint8 [H, W, 3]; void and any value that is no class is (224, 224, 192).
        """
        return self._colours()[mask]

    def png_palette(self) -> list[int]:
        """Return 768 numbers for `PIL.Image.putpalette`: 256 colours, those of no class void's."""
        return self._colours().ravel().tolist()

    def _colours(self) -> np.ndarray:
        colours = np.full((256, 3), _VOID_COLOUR, np.uint8)
        colours[: self.num_classes] = self.palette
        return colours


def _label_set(name: str, classes: str, palette: np.ndarray, void_value: int) -> LabelSet:
    names = tuple(classes.split())
    lut = np.full(256, _REFUSED, np.int16)
    lut[: len(names)] = np.arange(len(names))
    lut[void_value] = VOID
    for array in (palette, lut):
        array.flags.writeable = False
    return LabelSet(name, names, palette, lut)


VOC = _label_set(
    "voc2012",
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor",
    voc_palette(21),
    void_value=255,
)

CAMVID = _label_set(
    "camvid",
    "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist",
    np.array(
        [
            (128, 128, 128),
            (128, 0, 0),
            (192, 192, 128),
            (128, 64, 128),
            (60, 40, 222),
            (128, 128, 0),
            (192, 128, 128),
            (64, 64, 128),
            (64, 0, 128),
            (64, 64, 0),
            (0, 128, 192),
        ],
        np.uint8,
    ),
    void_value=11,
)

SHAPES = _label_set(
    "shapes",
    "background disk triangle star ring cross crescent gear arrow",
    voc_palette(9),
    void_value=255,
)
