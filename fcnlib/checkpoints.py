"""Checkpoints on disk, and weights from one network to the next with a report of every variable.

A checkpoint is a NumPy archive (.npz) of arrays by variable name, and a JSON text about them. It is
written whole or not at all, each array carries a CRC, and nothing in it is ever executed.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib.errors import InputError
from fcnlib.runtime.files import replacing

META = "meta.json"
_BOMB, _ROOM = 16, 2**28  # no weights unpack to so many times their size; but few bytes may


def save(
    path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], half: bool = False
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: file to write, by custom ending in .npz.
        arrays: {name: array}.
        meta: what JSON can hold; returned by `load`.
        half: store convolution kernels as float16 and compress, for a file that travels.

    Raises:
        InputError: an array is not finite, as float16 is above 65504; an older file is kept.
    """
    kept = {name: np.asarray(value) for name, value in arrays.items()}
    if half:
        with np.errstate(over="ignore"):  # what overflows is refused
            kept |= {n: v.astype(np.float16) for n, v in kept.items() if n.endswith("/weights")}
    for name, array in kept.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            said = "holds a NaN or an infinity; a training needs a lower learning rate"
            raise InputError(f"{path}: {name} {said}")
    kind = zipfile.ZIP_DEFLATED if half else zipfile.ZIP_STORED
    with replacing(path) as part, open(part, "wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            # Entries are dated 1980: the same content gives the same bytes.
            archive.writestr(zipfile.ZipInfo(META), json.dumps(dict(meta)), kind)
            for name, array in kept.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), kind)
        os.fsync(file.fileno())


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return ({name: array, half precision widened to float32}, meta) of a file of `save`.

    Raises:
        InputError: no such file, or one that is cut short, damaged or not a checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_bomb(archive, path.stat().st_size)
            names = [name for name in archive.namelist() if name != META]
            arrays = {name.removesuffix(".npy"): _read(archive, name) for name in names}
            return arrays, dict(json.loads(archive.read(META)))
    except FileNotFoundError:
        said = "no such checkpoint; data/README.md says under pretrained/ how to make one"
        raise InputError(f"{path}: {said}") from None
    except Exception as error:  # zipfile and NumPy report a broken file in a dozen ways
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        said = "make it again, or import a file of TensorFlow or Keras with `fcnlib weights import`"
        raise InputError(f"{path}: not a whole checkpoint of fcnlib ({reason}); {said}") from None


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    array = np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} is of type {array.dtype}")
    return array.astype(np.float32 if array.dtype == np.float16 else array.dtype, copy=False)


def refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive.

    Raises:
        ValueError: it unpacks to far more than its size in bytes.
    """
    if (unpacked := sum(e.file_size for e in archive.infolist())) > max(_BOMB * size, _ROOM):
        raise ValueError(f"unpacks to {unpacked / 2**30:.1f} GiB")


@dataclass(frozen=True)
class Transfer:
    """Names of the variables copied, of those left as they were, and of arrays without use."""

    copied: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: tuple[str, ...]


def account(
    arrays: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
    *,
    may_miss: Sequence[str] = (),
    may_skip: Sequence[str] = (),
    source: str = "the checkpoint",
) -> Transfer:
    """Return which names of arrays and of a network's variables match; nothing is ignored.

    Args:
        arrays: {name: array, or what NumPy reads as one}.
        shapes: {name: shape} of the variables.
        may_miss: name prefixes of variables that the arrays need not have (new layers).
        may_skip: name prefixes of arrays that the network need not have (old heads).
        source: name of the arrays in an error.

    Raises:
        InputError: a name is missing, an array is left over, has another shape or is not finite.
    """
    missing = tuple(n for n in shapes if n not in arrays)
    skipped = tuple(n for n in arrays if n not in shapes)
    shared = tuple(n for n in shapes if n in arrays)
    problems = [f"{n} is missing" for n in missing if not n.startswith(tuple(may_miss))]
    problems += [f"{n} is not in the network" for n in skipped if not n.startswith(tuple(may_skip))]
    for name in shared:
        have, want = list(arrays[name].shape), list(shapes[name])
        if have != want:
            problems.append(f"{name} has shape {have}, the network needs {want}")
        elif not np.all(np.isfinite(arrays[name])):
            problems.append(f"{name} holds a NaN or an infinity")
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InputError(f"{source} does not fit: {'; '.join(problems[:3])}{more}")
    return Transfer(shared, missing, skipped)


def transplant(
    arrays: Mapping[str, np.ndarray], variables: Mapping[str, Any], **rules: Any
) -> Transfer:
    """Return the `account` of arrays, copied into variables of the same name if everything fits.

    Args:
        arrays: {name: array}.
        variables: {name: tf.Variable}.
        **rules: may_miss, may_skip and source of `account`.
    """
    report = account(arrays, {name: v.shape for name, v in variables.items()}, **rules)
    for name in report.copied:
        variables[name].assign(arrays[name])
    return report
