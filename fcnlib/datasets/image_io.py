"""Images and masks from files: images of every mode as RGB, masks by stored value, all checked."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from fcnlib.datasets import matlab
from fcnlib.datasets.records import File, Record
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet

# An image takes eight bytes a pixel to be read, a mask some fifteen: neither needs 2 GB.
Image.MAX_IMAGE_PIXELS = 100_000_000  # Pillow warns above this and refuses above twice this
# A text beside the picture may be as long as all texts together: XMP is often over the 1 MB.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
_MOST_OF_A_MASK, _STRIP = 90_000_000, 512  # pixels, rows
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF", "GIF")  # GIF: a writer renumbers the values
_SIXTEEN_BITS, _DARK = 257, 64  # from 16 bits to 8; what 14 of 16 do not reach
_KINDS = {
    "1": "black and white",
    "L": "grey",
    "P": "palette",
    "CMYK": "CMYK",
    **dict.fromkeys(("LA", "PA", "RGBA"), "alpha"),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), "16 bits"),
}

# {value in masks: its colour 0xRRGGBB in the palette of the first mask that has it, that mask}
Palette = dict[int, tuple[int, File]]


def read_image(path: File) -> np.ndarray:
    """Read an image as RGB, turned upright.

    Grey, palette and CMYK images are converted, 16 bits a pixel brought to 8 by dividing, alpha is
    dropped (the colours stay as stored), and an EXIF orientation is carried out.

    Args:
        path: the file.

    Returns:
        uint8 [H, W, 3], 0..255.

    Raises:
        InputError: the file is missing, truncated, no image, of more than 200 megapixels, or of
            numbers without a known range: of 32 bits, or of 16 that seem to hold fewer.
    """
    with _opened(path) as image:
        if image.mode in ("F", "I"):
            raise InputError(f"{path}: holds fractions or 32 bits; save it with 8 bits a channel")
        wide = "16" in _stored_as(image)  # asked first: loading the file forgets it
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        for top in range(0, image.height, _STRIP):
            strip = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
            pixels[top : top + _STRIP] = _as_rgb(strip)
        if wide and 0 < pixels.max() < _DARK:
            raise InputError(f"{path}: uses 14 of its 16 bits at most; save it with 8 bits")
        turned = _orientation(image)
    pixels = pixels.swapaxes(0, 1) if turned > 4 else pixels
    rows, columns = (-1 if turned in mirrored else 1 for mirrored in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 where there is none that can be understood."""
    try:
        turned = image.getexif().get(_ORIENTATION)
    except Exception:  # Pillow reports a damaged block with whatever it stumbles over
        return 1
    return turned if turned in range(1, 9) else 1


def _as_rgb(strip: Image.Image) -> np.ndarray:
    if _KINDS.get(strip.mode) == "16 bits":
        return np.round(np.asarray(strip) / _SIXTEEN_BITS)[..., None]
    if "transparency" in strip.info:
        strip = strip.convert("RGBA")
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def describe_image(path: File) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Look at an image's header: how large it is, and what `read_image` has to put right.

    Args:
        path: the file.

    Returns:
        ((H, W) upright, what is unusual about it such as "CMYK" or "EXIF orientation 6").

    Raises:
        InputError: the file is missing or no image.
    """
    with _opened(path) as image:
        kind = "16 bits" if "16" in _stored_as(image) else _KINDS.get(image.mode)
        turned = _orientation(image)
        width, height = image.size[::-1] if turned > 4 else image.size
        unusual = [kind] if kind else []
        unusual += ["several pictures"] if getattr(image, "n_frames", 1) > 1 else []
        unusual += [f"EXIF orientation {turned}"] if turned > 1 else []
        return (height, width), tuple(unusual)


_INDEXED = ("palette", "grey", "black and white", "16 bits")
_FEW_BITS = {"L;2": 2, "L;4": 4}


def read_mask(path: File, labels: LabelSet, seen: Palette | None = None) -> np.ndarray:
    """Read a mask by its stored value, never through its palette.

    Where the label set says that masks are pictures in colours, by its colours instead.

    Args:
        path: an image of one value a pixel, an .npy array of them, or SBD's .mat file.
        labels: the label set that says what the values stand for.
        seen: the palette of the masks read before, which this one must agree with and is added to.

    Returns:
        uint8 [H, W], class indices 0..C-1 or VOID (255).

    Raises:
        InputError: the file is missing or unreadable, stores colours or what a lossy format left of
            them, or holds a value that is neither a class nor void; the message names the value
            and the place. Or its palette shows a value in another colour than a mask before.
    """
    read = {".mat": _read_mat, ".npy": _read_npy}.get(path.suffix.lower(), _read_values)
    stored, palette = read(path, labels)
    if seen is not None:
        agree(seen, palette)
    if stored.ndim == 3:
        mask, stored = labels.decode_colours(stored)
    else:
        inside = (stored >= 0) & (stored < 256)
        mask = np.where(inside, labels.lut[np.where(inside, stored, 0)], -1)
    if mask.min() < 0:
        y, x = np.unravel_index(np.argmax(mask < 0), mask.shape)
        raise InputError(f"{path}: {_shown(stored[y, x], labels)} at (x={x}, y={y}) {_is(labels)}")
    return mask.astype(np.uint8)


def agree(seen: Palette, palette: Palette) -> None:
    """Compare palettes: where they differ, somebody has numbered the classes anew.

    Args:
        seen: of some masks; what it lacks is added.
        palette: of other masks.

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


def _read_values(path: File, labels: LabelSet) -> tuple[np.ndarray, Palette]:
    with _opened(path) as image:
        if image.width * image.height > _MOST_OF_A_MASK:
            raise InputError(f"{path}: over 90 megapixels; cut image and mask into parts")
        stored = _stored_as(image)  # first: looking at the rest loads the file and forgets it
        if image.format in _LOSSY:
            raise InputError(
                f"{path}: a mask saved as {image.format} has lost its values; export it anew as PNG"
            )
        if getattr(image, "n_frames", 1) > 1:
            raise InputError(f"{path}: holds {image.n_frames} pictures; a mask is one")
        if _orientation(image) > 1:
            raise InputError(f"{path}: has an EXIF orientation; turn the mask and remove it")
        if labels.colours is not None:
            return np.asarray(image.convert("RGB")), {}
        if image.mode != "I" and _KINDS.get(image.mode) not in _INDEXED:
            raise InputError(
                f"{path}: a mask must store one index a pixel (PIL mode P or L), this one is "
                f"{image.mode}; save it with a palette, or give its colours in a dataset.yaml"
            )
        if stored.endswith("I"):
            raise InputError(f"{path}: stores its values inverted; save it as an 8-bit PNG")
        values = np.asarray(image)
        if stored in _FEW_BITS:  # which Pillow stretches to 0..255
            values = values // (255 // (2 ** _FEW_BITS[stored] - 1))
        palette = _palette(path, image, values) if image.mode == "P" else {}
        return values.astype(np.uint8) if values.dtype == bool else values, palette


def _palette(path: File, image: Image.Image, values: np.ndarray) -> Palette:
    """Return the colours of the values that occur; 255 is left out, as no numbering reaches it."""
    colours = bytes(image.getpalette("RGB"))
    used = np.flatnonzero(np.bincount(values.ravel(), minlength=256)[:VOID]).tolist()
    codes = {value: colours[3 * value : 3 * value + 3] for value in used}
    return {value: (int.from_bytes(code), path) for value, code in codes.items()}


def _stored_as(image: Image.Image) -> str:
    """Return Pillow's name of the form that the pixels have in the file, such as "L;4"."""
    form = image.tile[0][3] if image.tile else ""
    return str(form[0] if isinstance(form, tuple) and form else form)


def _read_npy(path: File, labels: LabelSet) -> tuple[np.ndarray, Palette]:
    try:
        values = np.lib.format.read_array(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception as error:  # NumPy's words of a damaged file are of many kinds
        raise InputError(_complaint(path, error)) from None
    if values.ndim != 2 or values.dtype.kind not in "biu" or not 0 < values.size <= _MOST_OF_A_MASK:
        raise InputError(
            f"{path}: {values.dtype} of shape {values.shape}; a mask is whole numbers, "
            f"[rows, columns], of 90 megapixels at most"
        )
    if labels.colours is not None:
        raise InputError(f"{path}: stores indices, but the classes are given by colours; use one")
    return values, {}


def _read_mat(path: File, labels: LabelSet) -> tuple[np.ndarray, Palette]:
    try:
        return matlab.integers(path.read_bytes(), "GTcls", "Segmentation"), {}
    except OSError as error:
        raise InputError(_complaint(path, error)) from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; it must hold GTcls.Segmentation of SBD") from None


def _shown(value: int, labels: LabelSet) -> str:
    return f"value {value}" if labels.colours is None else f"colour #{value:06x}"


def _is(labels: LabelSet) -> str:
    if labels.colours is not None:
        return f"is the colour of no class of {labels.name}, and not of void"
    values = np.flatnonzero((labels.lut >= 0) & (labels.lut != VOID))
    whole = len(values) == values[-1] - values[0] + 1
    listed = f"{values[0]}..{values[-1]}" if whole else ", ".join(map(str, values))
    void = ", ".join(map(str, np.flatnonzero(labels.lut == VOID)))
    return f"is no class of {labels.name} ({listed}) and not void ({void or 'no value is'})"


def read_pair(
    record: Record, labels: LabelSet, seen: Palette | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its mask and check that they are of one size.

    Args:
        record: a record with a mask.
        labels: the label set of the mask.
        seen: as in `read_mask`.

    Returns:
        (image uint8 [H, W, 3], mask uint8 [H, W] of 0..C-1 or VOID).

    Raises:
        InputError: as `read_image` and `read_mask`; the sizes differ; the record has no mask.
    """
    if record.label_path is None:
        raise InputError(f"{record.image_path}: has no mask; choose a split with masks")
    image = read_image(record.image_path)
    mask = read_mask(record.label_path, labels, seen)
    if image.shape[:2] != mask.shape:
        turned = [w for w in describe_image(record.image_path)[1] if w.startswith("EXIF")]
        hint = f" (turned by its {turned[0]})" if turned else ""
        raise InputError(
            f"{record.label_path}: is {_size(mask)} pixels, but its image {record.image_path} is "
            f"{_size(image)}{hint}; a mask has the size of its image"
        )
    return image, mask


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


@contextlib.contextmanager
def _opened(path: File) -> Iterator[Image.Image]:
    try:
        # Packed files have bytes and no place of their own.
        source = path if isinstance(path, Path) else io.BytesIO(path.read_bytes())
        with Image.open(source) as image:
            image.verify()  # the checksums of a PNG, which loading it passes over
        with Image.open(source) as image:
            yield image
    except InputError:
        raise
    except Exception as error:  # Pillow reports a broken file with whatever it stumbles over
        raise InputError(_complaint(path, error)) from None


def _complaint(path: File, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
    if isinstance(error, Image.DecompressionBombError):
        return f"{path}: {str(error).partition(',')[0]}; cut it into parts"
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    reason = reason.replace(f" '{path}'", "") or type(error).__name__
    return f"{path}: not a readable image ({reason}); replace the file"
