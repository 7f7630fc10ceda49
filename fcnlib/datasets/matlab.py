"""One matrix out of a MATLAB 5 file, in Python alone.

SciPy's reader dies in native code on some damaged files and takes the process with it.

Source: MAT-File Format, MathWorks, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
(version 5; data elements, compressed elements, numeric arrays, structures).
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

_HEADER = 128  # bytes: text, version, and the order of bytes
_ORDERS = {b"IM": "<", b"MI": ">"}
_TEXT, _MATRIX, _COMPRESSED = 1, 14, 15  # kinds of elements
_STRUCTURE = 2  # class of a matrix; the ones below are numbers
_CLASSES = {8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 12: "i8", 13: "u8"}
_MOST, _MOST_NAMES = 1 << 28, 1 << 16  # bytes that a compressed element unpacks to; of field names
_MOST_NUMBERS = 90_000_000

Element = tuple[int, bytes]  # kind, content


def integers(data: bytes, variable: str, field: str) -> np.ndarray:
    """Read a matrix of whole numbers that is a field of a structure.

    Args:
        data: the whole file.
        variable: the structure.
        field: its field.

    Returns:
        [rows, columns], int8 to uint64 as the file says.

    Raises:
        ValueError: the file is cut, damaged or too large, or holds no such matrix.
    """
    order = _ORDERS.get(data[_HEADER - 2 : _HEADER])
    if data.startswith(b"MATLAB 7.3"):
        raise ValueError("a MATLAB 7.3 file; save it with -v7")
    if order is None:
        raise ValueError("no MATLAB 5 file")
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, content = _first(_elements(_unpacked(content), order))
        if kind == _MATRIX:
            parts = _elements(content, order)
            if _class(parts, order) == _STRUCTURE and _head(parts, order)[1] == variable:
                return _numbers(_field(parts, order, field), order)
    raise ValueError(f"holds no structure {variable}")


def _elements(data: bytes, order: str) -> Iterator[Element]:
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        if kind >> 16:  # a small one: kind, size and content in eight bytes
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        if start + size > len(data) or (start == at + 4 and size > 4):
            raise ValueError("is cut or damaged")
        yield kind, data[start : start + size]
        if start == at + 4:
            at += 8
        else:  # filled up to eight bytes, unless compressed
            at = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)


def _first(elements: Iterator[Element]) -> Element:
    element = next(elements, None)
    if element is None:
        raise ValueError("is cut or damaged")
    return element


def _unpacked(content: bytes) -> bytes:
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(content, _MOST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if unpacking.unconsumed_tail:
        raise ValueError(f"unpacks to more than {_MOST >> 20} MiB")
    return data


def _class(parts: Iterator[Element], order: str) -> int:
    """Return the class of a matrix, which its first part says."""
    _, flags = _first(parts)
    if len(flags) != 8:
        raise ValueError("is cut or damaged")
    return struct.unpack(f"{order}II", flags)[0] & 0xFF


def _head(parts: Iterator[Element], order: str) -> tuple[tuple[int, ...], str]:
    """Return the shape and the name of a matrix, which come next."""
    (_, shape), (_, name) = _first(parts), _first(parts)
    if len(shape) % 4 or len(shape) > 128:
        raise ValueError("is cut or damaged")
    return struct.unpack(f"{order}{len(shape) // 4}i", shape), name.decode("latin-1")


def _field(parts: Iterator[Element], order: str, field: str) -> bytes:
    """Return the content of a field's matrix, of the first structure if there are several."""
    (_, length), (_, text) = _first(parts), _first(parts)
    width = struct.unpack(f"{order}i", length)[0] if len(length) == 4 else 0
    if width < 1 or len(text) > _MOST_NAMES:
        raise ValueError("is cut or damaged")
    names = [text[at : at + width].split(b"\0")[0] for at in range(0, len(text), width)]
    if field.encode() not in names:
        raise ValueError(f"holds no field {field}")
    kind, content = _first(itertools.islice(parts, names.index(field.encode()), None))
    if kind != _MATRIX:
        raise ValueError("is cut or damaged")
    return content


def _numbers(content: bytes, order: str) -> np.ndarray:
    parts = _elements(content, order)
    code, (shape, _) = _class(parts, order), _head(parts, order)
    if code not in _CLASSES or len(shape) != 2:
        raise ValueError("holds no matrix of whole numbers")
    if math.prod(shape) > _MOST_NUMBERS:
        raise ValueError("is a map of over 90 megapixels")
    kind, values = _first(parts)
    stored = np.dtype(f"{order}{_STORED.get(kind, 'u1')}")
    if kind not in _STORED or min(shape) < 1 or math.prod(shape) * stored.itemsize != len(values):
        raise ValueError("is cut or damaged")
    return np.frombuffer(values, stored).reshape(shape, order="F").astype(_CLASSES[code])
