"""Label sets: class names, palettes, and what a value in a mask file stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        colours: {0xRRGGBB: class index or VOID} where the mask files are pictures in these colours;
            None where they store indices.
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    lut: np.ndarray
    colours: Mapping[int, int] | None = None

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
        return self._colours(np.arange(self.num_classes))[mask]

    @property
    def values(self) -> np.ndarray:
        """The value that stands for each class in a mask file, uint8 [C]."""
        return np.array([np.argmax(self.lut == c) for c in range(self.num_classes)], np.uint8)

    def png_palette(self) -> list[int]:
        """Return 768 numbers for `PIL.Image.putpalette`: by value, those of no class void's."""
        return self._colours(self.values).ravel().tolist()

    def _colours(self, places: np.ndarray) -> np.ndarray:
        colours = np.full((256, 3), _VOID_COLOUR, np.uint8)
        colours[places] = self.palette
        return colours

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes the same label set of, as JSON can hold it."""
        colours = None if self.colours is None else {str(k): v for k, v in self.colours.items()}
        arrays = {"palette": self.palette.tolist(), "lut": self.lut.tolist()}
        return {"name": self.name, "classes": list(self.classes), **arrays, "colours": colours}

    @classmethod
    def from_dict(cls, about: Mapping[str, Any]) -> LabelSet:
        """Return the label set that `to_dict` described."""
        colours = about["colours"] and {int(code): c for code, c in about["colours"].items()}
        arrays = np.array(about["palette"], np.uint8), np.array(about["lut"], np.int16)
        return cls(about["name"], tuple(about["classes"]), *arrays, colours)

    def decode_colours(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look the colours of a mask up that is stored as a picture.

        Args:
            picture: RGB, uint8 [H, W, 3].

        Returns:
            (int16 [H, W]: class index, VOID, or -1 for a colour of no class; int32 [H, W]: the
            colours as 0xRRGGBB).
        """
        codes = picture[..., 0].astype(np.int32)
        for channel in (1, 2):
            codes <<= 8
            codes |= picture[..., channel]
        classes = np.full(codes.shape, _REFUSED, np.int16)
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
    """Describe the classes of a data set and what stands for them in its files.

    Args:
        name: the name of the set.
        classes: C names.
        palette: RGB of each class, uint8 [C, 3].
        values: the value that stands for each class in a mask file; 0..C-1 where None.
        void_values: the values that stand for void; they win over those of classes.
        colours: see `LabelSet`.

    Returns:
        The label set; its arrays cannot be written to.
    """
    lut = np.full(256, _REFUSED, np.int16)
    lut[list(range(len(classes)) if values is None else values)] = np.arange(len(classes))
    lut[list(void_values)] = VOID
    for array in (palette, lut):
        array.flags.writeable = False
    return LabelSet(name, tuple(classes), palette, lut, colours)


def _scene_parsing() -> tuple[LabelSet, tuple[str, ...]]:
    table = Path(__file__).with_name("datasets") / "objectinfo150.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    palette = np.array([[int(v) for v in row[:3]] for row in rows], np.uint8)
    names = tuple(row[3] for row in rows)
    first = [name.split(",")[0] for name in names]
    labels = make_labels("scene-parsing", first, palette, range(1, 151), void_values=(0,))
    return labels, names


# In its files 0 is "other", which never counts. The names with all synonyms, as objectInfo150.txt
# has them: "building, edifice"; a class is called by the first.
SCENE_PARSING, SCENE_PARSING_NAMES = _scene_parsing()

_VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
)
_CAMVID = "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist"
_SHAPES = "background disk triangle star ring cross crescent gear arrow"

VOC = make_labels("voc2012", _VOC.split(), voc_palette(21))

CAMVID = make_labels(
    "camvid",
    _CAMVID.split(),
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
    void_values=(11,),
)

SHAPES = make_labels("shapes", _SHAPES.split(), voc_palette(9))
