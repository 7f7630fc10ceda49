"""Label sets: class names, palettes, and what a value in a mask file stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

VOID = 255
_VOID_COLOUR = (224, 224, 192)  # what the bit rule of VOC gives for 255


def voc_palette(count: int) -> np.ndarray:
    """Return the first `count` colours of the PASCAL VOC palette, uint8 [count, 3].

    Source: `VOClabelcolormap` of the VOC devkit.
    """
    # Bits 0, 1, 2 of a label are the top bits of red, green, blue; bits 3, 4, 5 the next ones.
    labels = np.arange(count)
    palette = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((labels >> channel & 1) << (7 - bit)).astype(np.uint8)
        labels >>= 3
    return palette


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Classes of a data set, their colours, and the meaning of the values in its mask files."""

    name: str
    classes: tuple[str, ...]  # the place in the tuple is the class index
    palette: np.ndarray  # RGB of each class, uint8 [C, 3]
    lut: np.ndarray  # int16 [256]: a value in a file -> class index 0..C-1, VOID, or -1 (refused)
    # {0xRRGGBB: class index or VOID} where masks are pictures; None where they store indices
    colours: Mapping[int, int] | None = None

    @property
    def num_classes(self) -> int:
        """The number of classes, void not among them."""
        return len(self.classes)

    @property
    def values(self) -> np.ndarray:
        """The value that stands for each class in a mask file, uint8 [C]."""
        return np.array([np.argmax(self.lut == c) for c in range(self.num_classes)], np.uint8)

    def colorize(self, mask: np.ndarray) -> np.ndarray:
        """Paint a mask, uint8 [H, W], in the colours of its classes: RGB, uint8 [H, W, 3]."""
        return self._colour_table(np.arange(self.num_classes))[mask]

    def png_palette(self) -> list[int]:
        """Return 768 numbers for `PIL.Image.putpalette`: the colour of each value in a file."""
        return self._colour_table(self.values).ravel().tolist()

    def _colour_table(self, places: np.ndarray) -> np.ndarray:
        table = np.full((256, 3), _VOID_COLOUR, np.uint8)  # void, and what is no class
        table[places] = self.palette
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return the label set as JSON can hold it, for `from_dict`."""
        colours = self.colours and {str(code): index for code, index in self.colours.items()}
        arrays = {"palette": self.palette.tolist(), "lut": self.lut.tolist()}
        return {"name": self.name, "classes": list(self.classes), **arrays, "colours": colours}

    @classmethod
    def from_dict(cls, about: Mapping[str, Any]) -> LabelSet:
        """Return the label set that `to_dict` described."""
        colours = about["colours"] and {int(code): c for code, c in about["colours"].items()}
        arrays = np.array(about["palette"], np.uint8), np.array(about["lut"], np.int16)
        return cls(about["name"], tuple(about["classes"]), *arrays, colours)

    def decode_colours(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read a mask that is a picture in the colours of its classes, RGB uint8 [H, W, 3].

        Return (int16 [H, W]: class index, VOID, or -1 for a colour of no class; int32 [H, W]: the
        colours as 0xRRGGBB).
        """
        red, green, blue = np.moveaxis(picture.astype(np.int32), -1, 0)
        codes = red << 16 | green << 8 | blue  # [H, W]
        classes = np.full(codes.shape, -1, np.int16)
        for code, index in (self.colours or {}).items():
            classes[codes == code] = index
        return classes, codes


def make_labels(
    name: str,
    classes: Sequence[str],
    palette: np.ndarray,
    values: Sequence[int] | None = None,
    void_values: Sequence[int] = (VOID,),
    colours: Mapping[int, int] | None = None,
) -> LabelSet:
    """Return the label set of a data set; its arrays are read-only.

    Args:
        name: as in `LabelSet`.
        classes: C names.
        palette: RGB, uint8 [C, 3].
        values: the value of each class in a mask file; 0..C-1 where None.
        void_values: the values of void; they win over those of classes.
        colours: {0xRRGGBB: class index or VOID}.
    """
    lut = np.full(256, -1, np.int16)
    lut[list(range(len(classes)) if values is None else values)] = np.arange(len(classes))
    lut[list(void_values)] = VOID
    for array in (palette, lut):
        array.flags.writeable = False
    return LabelSet(name, tuple(classes), palette, lut, colours)


_SHAPES = "background disk triangle star ring cross crescent gear arrow"
SHAPES = make_labels("shapes", _SHAPES.split(), voc_palette(9))
