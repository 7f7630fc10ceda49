"""A sheet to draw on with PIL, for what must be a PNG in milliseconds; Matplotlib takes longer."""

from __future__ import annotations

import functools
import io
import itertools

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

INK, SOFT, PALE = "#222222", "#6B6B6B", "#E4E4E4"
_DASH = 4  # units


class Sheet:
    """A white sheet, all places and lengths in units of `scale` pixels from its top left corner."""

    def __init__(self, width: float, height: float, scale: float = 1.0):
        """Take a sheet of this many units."""
        self.scale = scale
        self._paper = Image.new("RGB", (self.pixels(width), self.pixels(height)), "white")
        self._pen = ImageDraw.Draw(self._paper)

    def pixels(self, length: float) -> int:
        """Return a length in units as whole pixels."""
        return round(length * self.scale)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        bold: bool = False,
        colour: str = INK,
        size: float = 12,
        anchor: str = "ls",
    ) -> float:
        """Write a line.

        Args:
            x: of the anchor.
            y: of the anchor.
            words: the line.
            bold: in bold face.
            colour: as PIL names it.
            size: of the letters, units.
            anchor: PIL's: "l", "m" or "r", then "s" for the baseline or "m" for the middle.

        Returns:
            The width of the line, units.
        """
        font = _font(bold, self.pixels(size))
        self._pen.text((self.pixels(x), self.pixels(y)), words, colour, font, anchor)
        return font.getlength(words) / self.scale

    def box(self, x0: float, y0: float, x1: float, y1: float, colour) -> None:
        """Fill a rectangle; the x may come in either order, and one without width is left out.

        Args:
            x0: one side.
            y0: its top.
            x1: the other side.
            y1: its bottom.
            colour: a name, or RGB 0..255.
        """
        left, right = sorted((self.pixels(x0), self.pixels(x1)))
        if right > left:
            colour = colour if isinstance(colour, str) else tuple(int(c) for c in colour)
            self._pen.rectangle((left, self.pixels(y0), right - 1, self.pixels(y1) - 1), colour)

    def line(
        self, x0: float, y0: float, x1: float, y1: float, colour: str, dashed: bool = False
    ) -> None:
        """Draw a line two units thick.

        Args:
            x0: of its start.
            y0: of its start.
            x1: of its end.
            y1: of its end.
            colour: as PIL names it.
            dashed: draw every other piece of it.
        """
        ends = np.array([[x0, y0], [x1, y1]]) * self.scale
        pieces = round(np.abs(ends[1] - ends[0]).max() / (_DASH * self.scale)) if dashed else 1
        marks = np.linspace(*ends, max(pieces, 1) + 1).round().astype(int).tolist()
        for start, stop in list(itertools.pairwise(marks))[::2]:
            self._pen.line((*start, *stop), colour, self.pixels(2))

    def ring(self, x: float, y: float) -> None:
        """Mark a place with a ring that shows on light and dark."""
        for radius, thick, colour in ((7, 4, INK), (6, 2, "white")):
            corners = [self.pixels(v) for v in (x - radius, y - radius, x + radius, y + radius)]
            self._pen.ellipse(corners, None, colour, self.pixels(thick))

    def paste(self, x: float, y: float, picture: np.ndarray) -> None:
        """Lay a picture on the sheet.

        Args:
            x: of its top left corner, units.
            y: of that corner, units.
            picture: uint8 [rows, columns, 3], pixels of the sheet.
        """
        self._paper.paste(Image.fromarray(picture), (self.pixels(x), self.pixels(y)))

    def fit(self, picture: np.ndarray, size: tuple[float, float]) -> np.ndarray:
        """Resize an image smoothly, or a label map or shade by taking the nearest pixel.

        Args:
            picture: uint8 [H, W, 3] or [H, W].
            size: (width, height), units.

        Returns:
            uint8 in pixels of the sheet.
        """
        how = Image.Resampling.BICUBIC if picture.ndim == 3 else Image.Resampling.NEAREST
        wide, tall = (max(self.pixels(length), 1) for length in size)
        return np.asarray(Image.fromarray(picture).resize((wide, tall), how))

    def png(self, compact: bool = False) -> bytes:
        """Return the sheet as a PNG file: quickly, or in 256 colours and a third of the bytes."""
        data = io.BytesIO()
        if compact:
            self._paper.quantize(256).save(data, "png", optimize=True)
        else:
            self._paper.save(data, "png", compress_level=1)  # half the time of the default
        return data.getvalue()


@functools.lru_cache(maxsize=32)
def _font(bold: bool, size: int) -> ImageFont.FreeTypeFont:
    face = font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return ImageFont.truetype(font_manager.findfont(face), size)
