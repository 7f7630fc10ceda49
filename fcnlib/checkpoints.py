"""Weights on disk and from one network to the next, with an account of every variable.

One file holds a checkpoint: a NumPy archive (.npz) of arrays by variable name and one JSON text of
what they are. It is written whole or not at all, each array carries a CRC, and nothing in it is
ever executed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib.errors import InputError
from fcnlib.runtime.files import replacing

_META = "meta.json"
PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")  # ends of TensorFlow's checkpoint files
_TABLE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # ends their older form, a single file
_IMPORT = "`fcnlib weights import FILE` makes one of it"
RESAVE = "load it in Keras, write it with model.save('X.h5') and `fcnlib weights import X.h5`"
DOWNLOAD = "`fcnlib weights download NAME` gets ImageNet's inception_v3 or vgg_16"
CHECKPOINT, KERAS_H5 = "a TensorFlow checkpoint", "an .h5 file such as Keras writes"
KERAS_MODEL, OURS = "a .keras file", "a checkpoint of fcnlib"
_PICKLE, _NUMBERS = "a pickle such as PyTorch writes", "a NumPy archive of unknown names"
_PACKED = "a packed file"
FOREIGN = {  # what a file is that is no checkpoint of ours, and what to do with it
    CHECKPOINT: _IMPORT,
    KERAS_H5: _IMPORT,
    KERAS_MODEL: _IMPORT,
    OURS: "start from it with --set initial=FILE",
    "a SavedModel folder": RESAVE,
    "a folder": "give a file in it",
    _PICKLE: DOWNLOAD,
    _NUMBERS: DOWNLOAD,
    _PACKED: "unpack it; a release goes to `fcnlib weights download NAME --archive FILE`",
}
_BOMB, _ROOM = 16, 2**28  # no weights unpack to so many times their size; but few bytes may


def save(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    half: bool = False,
    previous: Path | None = None,
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: file to write, by custom ending in .npz; an older one is replaced.
        arrays: {name: array}.
        meta: what JSON can hold; returned by `load`.
        half: store convolution kernels as float16 and compress, for a file that travels.
        previous: where an older one goes, in place of being dropped.

    Raises:
        InputError: an array holds a NaN or an infinity (a kernel above 65504 is one in float16),
            the place cannot be written, or the disk is full; an older file is kept.
    """
    kept = {name: np.asarray(value) for name, value in arrays.items()}
    if half:
        with np.errstate(over="ignore"):  # what overflows is refused
            kept |= {n: v.astype(np.float16) for n, v in kept.items() if n.endswith("/weights")}
    require_finite(kept, str(path), "nothing is written")
    with replacing(path) as part:
        _write(part, kept, meta, zipfile.ZIP_DEFLATED if half else zipfile.ZIP_STORED)
        if previous:
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, previous)


def require_finite(arrays: Mapping[str, np.ndarray], source: str, advice: str) -> None:
    """Refuse numbers that no network can go on with.

    Args:
        arrays: {name: array}.
        source: what to call them in an error.
        advice: what to do then.

    Raises:
        InputError: one holds a NaN or an infinity.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{source}: {name} holds a NaN or an infinity; {advice}")


def _write(
    path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], method: int
) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_entry(_META, method), json.dumps(dict(meta)))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(_entry(f"{name}.npy", method), buffer.getvalue())
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _entry(name: str, method: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # dated 1980: the same content gives the same bytes
    entry.compress_type = method
    return entry


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint.

    Args:
        path: a file written by `save`.

    Returns:
        ({name: array, half precision widened to float32}, meta).

    Raises:
        InputError: no such file, or one that is cut short, damaged or not a checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except Exception as error:  # zipfile and NumPy report a broken file in a dozen ways
        form = foreign(path)
        if form and form != OURS:
            raise InputError(f"{path}: {form}, no checkpoint of fcnlib; {FOREIGN[form]}") from None
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{path}: no such checkpoint") from None
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not a whole checkpoint ({reason}); make it again") from None


def foreign(path: Path) -> str:
    """Tell what a file is that may hold weights: a key of `FOREIGN`, or "" where it is unknown."""
    with contextlib.suppress(OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        if path.is_dir():
            return "a SavedModel folder" if (path / "saved_model.pb").is_file() else "a folder"
        there = (PART.subn("", other.name) for other in path.parent.iterdir())
        if (PART.sub("", path.name), 1) in there:  # a part of it lies there
            return CHECKPOINT
        with path.open("rb") as file:
            first, _ = file.read(8), file.seek(-8, os.SEEK_END)
            if file.read() == _TABLE:
                return CHECKPOINT
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [Path(name).name for name in archive.namelist()]
            within = {_META: OURS, "model.weights.h5": KERAS_MODEL, "data.pkl": _PICKLE}
            kinds = [kind for name, kind in within.items() if name in names]
            numbers = all(name.endswith(".npy") for name in names)
            return (*kinds, _NUMBERS if numbers else _PACKED)[0]
        starts = {b"\x89HDF": KERAS_H5, b"\x80": _PICKLE, b"\x1f\x8b": _PACKED}
        return next((kind for start, kind in starts.items() if first.startswith(start)), "")
    return ""


def refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Check that an archive of so many bytes does not unpack to far more.

    Raises:
        ValueError: it says that it does.
    """
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(_BOMB * size, _ROOM):
        raise ValueError(f"unpacks to {unpacked / 2**30:.1f} GiB")


def _read(archive: zipfile.ZipFile, size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    refuse_bomb(archive, size)
    arrays = {}
    for entry in archive.namelist():
        if entry != _META:
            data = io.BytesIO(archive.read(entry))
            array = np.lib.format.read_array(data, allow_pickle=False)
            if array.dtype.kind not in "biuf":
                raise ValueError(f"{entry} is of type {array.dtype}")
            wide = np.float32 if array.dtype == np.float16 else array.dtype
            arrays[entry.removesuffix(".npy")] = array.astype(wide, copy=False)
    return arrays, dict(json.loads(archive.read(_META)))


@dataclass(frozen=True)
class Transfer:
    """What became of each variable: copied, left as it was (missing), or not wanted (skipped)."""

    copied: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.copied)} variables copied, {len(self.missing)} new, "
            f"{len(self.skipped)} of the source not used"
        )


def account(
    arrays: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
    *,
    may_miss: Sequence[str] = (),
    may_skip: Sequence[str] = (),
    source: str = "the checkpoint",
) -> Transfer:
    """Compare what there is with what is wanted; nothing is ignored in silence.

    Args:
        arrays: {name: array, or what NumPy reads as one}.
        shapes: {name: shape} of what is wanted.
        may_miss: name prefixes that the arrays need not have (new layers).
        may_skip: name prefixes of arrays that are not wanted (old heads).
        source: what to call the arrays in an error.

    Returns:
        The account of all names, in the order of `shapes`.

    Raises:
        InputError: a name is missing, an array is left over, has another shape or is not finite;
            the first few are named.
    """
    missing = [n for n in shapes if n not in arrays]
    skipped = [n for n in arrays if n not in shapes]
    shared = [n for n in shapes if n in arrays]
    problems = [f"{n} is missing" for n in missing if not n.startswith(tuple(may_miss))]
    problems += [f"{n} is not in the network" for n in skipped if not n.startswith(tuple(may_skip))]
    for name in shared:
        have, want = tuple(arrays[name].shape), tuple(shapes[name])
        if have != want:
            problems.append(f"{name} has shape {list(have)}, the network needs {list(want)}")
        elif not np.all(np.isfinite(arrays[name])):
            problems.append(f"{name} holds a NaN or an infinity")
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InputError(f"{source} does not fit: {'; '.join(problems[:3])}{more}")
    return Transfer(tuple(shared), tuple(missing), tuple(skipped))


def transplant(
    arrays: Mapping[str, np.ndarray],
    variables: Mapping[str, Any],
    *,
    may_miss: Sequence[str] = (),
    may_skip: Sequence[str] = (),
    source: str = "the checkpoint",
) -> Transfer:
    """Copy arrays into variables of the same name; nothing is ignored in silence.

    Args:
        arrays: {name: array}.
        variables: {name: tf.Variable}; assigned only if everything fits.
        may_miss: name prefixes of variables that the source need not have (new layers).
        may_skip: name prefixes of arrays that the network need not have (old heads).
        source: what to call the arrays in an error.

    Returns:
        The account of all names.

    Raises:
        InputError: as `account` does.
    """
    shapes = {name: variable.shape for name, variable in variables.items()}
    transfer = account(arrays, shapes, may_miss=may_miss, may_skip=may_skip, source=source)
    for name in transfer.copied:
        variables[name].assign(arrays[name])
    return transfer
