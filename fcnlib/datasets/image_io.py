"""Images and masks from files: images of every mode as RGB, masks by stored value, all checked."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from fcnlib.datasets.records import Record
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet

Image.MAX_IMAGE_PIXELS = 100_000_000  # Pillow warns above this and refuses above twice this
# A text beside the picture may be as long as all texts together: XMP is often over the 1 MB.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
_MOST_OF_A_MASK = 90_000_000  # pixels
_MOST_OF_A_MAT = 1 << 28  # bytes, unpacked
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF", "GIF")  # GIF: a writer renumbers the values
_KINDS = {
    "1": "black and white",
    "L": "grey",
    "P": "palette",
    "CMYK": "CMYK",
    **dict.fromkeys(("LA", "PA", "RGBA"), "alpha"),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), "16 bits"),
}
_INDEXED = ("palette", "grey", "black and white", "16 bits")
_STRETCHED = {"L;2": 85, "L;4": 17}  # grey of 2 and 4 bits, which Pillow brings to 0..255

# {value in masks: its colour 0xRRGGBB in the palette of the first mask that has it, that mask}
Palette = dict[int, tuple[int, Path]]


def read_image(path: Path, content: bytes | None = None) -> np.ndarray:
    """Return an image of any mode as RGB, turned upright: uint8 [H, W, 3]; alpha is dropped.

    The `content` of the file may be given where it is in memory.

    Raises:
        InputError: the file is missing, truncated, no image, of more than 200 megapixels, or of
            numbers without a known range: of 32 bits, or of 16 that seem to hold fewer.
    """
    with _opened(path, content) as image:
        if image.mode in ("F", "I"):
            raise InputError(f"{path}: holds fractions or 32 bits; save it with 8 bits a channel")
        wide = "16" in _stored_as(image)  # asked first: loading the file forgets it
        turned = _orientation(image)
        if _KINDS.get(image.mode) == "16 bits":
            grey = (np.asarray(image).astype(np.uint32) + 128) // 257
            pixels = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
        else:
            if "transparency" in image.info:
                image = image.convert("RGBA")
            pixels = np.array(image.convert("RGB"))
        if wide and 0 < pixels.max() < 64:
            raise InputError(f"{path}: uses 14 of its 16 bits at most; save it with 8 bits")
    pixels = pixels.swapaxes(0, 1) if turned > 4 else pixels
    rows, columns = (-1 if turned in mirrored else 1 for mirrored in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 where there is none that can be understood."""
    try:
        turned = image.getexif().get(_ORIENTATION)
    except Exception:  # Pillow fails on a damaged block in many ways
        return 1
    return turned if turned in range(1, 9) else 1


def _stored_as(image: Image.Image) -> str:
    """Return Pillow's name of the form that the pixels have in the file, such as "L;4"."""
    form = image.tile[0][3] if image.tile else ""
    return str(form[0] if isinstance(form, tuple) and form else form)


def describe_image(path: Path) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return an image's size (H, W), upright, and what is unusual about it, such as ("CMYK",)."""
    with _opened(path) as image:
        kind = "16 bits" if "16" in _stored_as(image) else _KINDS.get(image.mode)
        turned = _orientation(image)
        size = image.size if turned > 4 else image.size[::-1]
        several = "several pictures" if getattr(image, "n_frames", 1) > 1 else ""
        rotated = f"EXIF orientation {turned}" if turned > 1 else ""
        return size, tuple(filter(None, (kind, several, rotated)))


def read_mask(path: Path, labels: LabelSet, seen: Palette | None = None) -> np.ndarray:
    """Read a mask by its stored value, never through its palette.

    Where the label set says that masks are pictures in colours, by its colours instead.

    Args:
        path: an image of one value a pixel, an .npy array of them, or SBD's .mat file.
        labels: the label set that says what the values stand for.
        seen: the palette of the masks read before, which this one must agree with and is added to.

    Returns:
        uint8 [H, W], class indices 0..C-1 or VOID (255).

    Raises:
        InputError: it is no mask, or holds a value that is neither class nor void.
    """
    if path.suffix.lower() in (".npy", ".mat"):
        stored, palette = _read_array(path, labels), {}
    else:
        stored, palette = _read_values(path, labels)
    agree({} if seen is None else seen, palette)
    if stored.ndim == 3:
        mask, stored = labels.decode_colours(stored)
    else:
        inside = (stored >= 0) & (stored < 256)
        mask = np.where(inside, labels.lut[np.where(inside, stored, 0)], -1)
    if mask.min() >= 0:
        return mask.astype(np.uint8)
    y, x = np.unravel_index(np.argmax(mask < 0), mask.shape)
    if labels.colours is not None:
        found = f"colour #{stored[y, x]:06x} at (x={x}, y={y})"
        raise InputError(f"{path}: {found} is the colour of no class of {labels.name}, nor void")
    values = np.flatnonzero((labels.lut >= 0) & (labels.lut != VOID)).tolist()
    whole = len(values) == values[-1] - values[0] + 1
    listed = f"{values[0]}..{values[-1]}" if whole else str(values)[1:-1]
    void = str(np.flatnonzero(labels.lut == VOID).tolist())[1:-1] or "no value is"
    found = f"value {stored[y, x]} at (x={x}, y={y}) is no class of {labels.name}"
    raise InputError(f"{path}: {found} ({listed}) and not void ({void})")


def agree(seen: Palette, palette: Palette) -> None:
    """Add a palette to `seen`; where they differ, some tool has numbered the classes anew.

    Raises:
        InputError: a value has two colours.
    """
    for value, (colour, path) in palette.items():
        other, first = seen.setdefault(value, (colour, path))
        if colour != other:
            raise InputError(
                f"{path}: index {value} is #{colour:06x} in its palette, but #{other:06x} in that "
                f"of {first}; save all masks with the same indices and palette"
            )


def _read_values(path: Path, labels: LabelSet) -> tuple[np.ndarray, Palette]:
    with _opened(path) as image:
        stored = _stored_as(image)  # first: looking at the rest loads the file and forgets it
        fault = ""
        if image.width * image.height > _MOST_OF_A_MASK:
            fault = "over 90 megapixels; cut image and mask into parts"
        elif image.format in _LOSSY:
            fault = f"a mask saved as {image.format} has lost its values; export it anew as PNG"
        elif getattr(image, "n_frames", 1) > 1:
            fault = f"holds {image.n_frames} pictures; a mask is one"
        elif _orientation(image) > 1:
            fault = "has an EXIF orientation; turn the mask and remove it"
        elif labels.colours is not None:
            return np.asarray(image.convert("RGB")), {}
        elif image.mode != "I" and _KINDS.get(image.mode) not in _INDEXED:
            fault = (
                f"a mask must store one index a pixel (PIL mode P or L), this one is {image.mode}; "
                "save it with a palette, or give its colours in a dataset.yaml"
            )
        elif stored.endswith("I"):
            fault = "stores its values inverted; save it as an 8-bit PNG"
        if fault:
            raise InputError(f"{path}: {fault}")
        values = np.asarray(image)
        values = values // _STRETCHED[stored] if stored in _STRETCHED else values
        palette: Palette = {}
        if image.mode == "P":  # 255 is left out, as no numbering reaches it
            colours = bytes(image.getpalette("RGB"))
            used = np.flatnonzero(np.bincount(values.ravel(), minlength=256)[:VOID]).tolist()
            palette = {v: (int.from_bytes(colours[3 * v : 3 * v + 3]), path) for v in used}
        return values.astype(np.uint8) if values.dtype == bool else values, palette


def _read_array(path: Path, labels: LabelSet) -> np.ndarray:
    if labels.colours is not None:
        raise InputError(f"{path}: stores indices, but the classes are given by colours; use one")
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".mat":
            values = _sbd_mask(data)
        else:
            values = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(_complaint(path, error)) from None
    if values.ndim != 2 or values.dtype.kind not in "biu" or not 0 < values.size <= _MOST_OF_A_MASK:
        raise InputError(
            f"{path}: {values.dtype} of shape {values.shape}; a mask is whole numbers, "
            f"[rows, columns], of 90 megapixels at most"
        )
    return values


def _sbd_mask(data: bytes) -> np.ndarray:
    """Return GTcls.Segmentation of an SBD file, read here: scipy.io dies on some damaged files.

    Source: MAT-File Format, MathWorks (version 5, little-endian; elements, structures, arrays).
    """
    for _, content in _elements(data[128:]):
        _, _, (_, name), *rest = _elements(content)  # of a matrix: flags, shape, name
        if name == b"GTcls":
            (_, width), (_, names), *fields = rest
            index = names.index(b"Segmentation\0") // int.from_bytes(width, "little")
            _, (_, shape), _, (kind, values) = _elements(fields[index][1])
            stored = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4"}.get(kind)
            return np.frombuffer(values, stored).reshape(np.frombuffer(shape, "<i4"), order="F")
    raise ValueError("holds no GTcls")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, content) of each element, compressed ones as what they hold."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        small = kind >> 16  # kind, size and content in eight bytes
        kind, size, start = (kind & 0xFFFF, small, at + 4) if small else (kind, size, at + 8)
        content = data[start : start + size]
        if len(content) < size or small > 4:
            raise ValueError("is cut or damaged")
        at = at + 8 if small else start + size + (0 if kind == 15 else -size % 8)
        if kind == 15:
            yield from _elements(zlib.decompressobj().decompress(content, _MOST_OF_A_MAT))
        else:
            yield kind, content


def read_pair(
    record: Record, labels: LabelSet, seen: Palette | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (image uint8 [H, W, 3], mask uint8 [H, W] of 0..C-1 or VOID) of a record.

    Args:
        record: a record with a mask.
        labels: the label set of the mask.
        seen: as in `read_mask`.

    Raises:
        InputError: as `read_image` and `read_mask`; the sizes differ; the record has no mask.
    """
    if record.label_path is None:
        raise InputError(f"{record.image_path}: has no mask; choose a split with masks")
    image = read_image(record.image_path)
    mask = read_mask(record.label_path, labels, seen)
    if image.shape[:2] != mask.shape:
        raise InputError(
            f"{record.label_path}: is {mask.shape[1]}x{mask.shape[0]} pixels, but its image "
            f"{record.image_path}, turned upright, is {image.shape[1]}x{image.shape[0]}"
        )
    return image, mask


@contextlib.contextmanager
def _opened(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    try:
        data = io.BytesIO(path.read_bytes() if content is None else content)
        with Image.open(data) as image:
            image.verify()  # the checksums of a PNG, which loading it passes over
        with Image.open(data) as image:
            yield image
    except InputError:
        raise
    except Exception as error:  # Pillow fails on a damaged file in many ways
        raise InputError(_complaint(path, error)) from None


def _complaint(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
    reason = " ".join(str(error).split()).replace(f": '{path}'", "") or type(error).__name__
    return f"{path}: not a readable image ({reason}); replace the file"
