"""Our reader of MATLAB files against SciPy's, on files that are whole."""

import io
import struct

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from fcnlib.datasets import matlab


def written(mask, compressed, **others):
    """A file as SBD has them: the map between other fields, cells of sparse matrices among them."""
    edges = np.empty((2, 1), object)
    edges[:, 0] = [csc_array(np.eye(3)), csc_array(np.ones((2, 2)))]
    fields = {"Boundaries": edges, "Segmentation": mask, "CategoriesPresent": [1.0, 2.5]}
    data = io.BytesIO()
    tree = {"other": np.ones((3, 3)), "GTcls": fields | others}
    savemat(data, tree, do_compression=compressed)
    return data.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (7, 3), (40, 61)])
def test_a_whole_file_is_read_as_by_scipy(shape, kind, compressed):
    mask = np.random.default_rng(1).integers(0, 100, shape).astype(kind)
    data = written(mask, compressed)
    theirs = loadmat(io.BytesIO(data), variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    ours = matlab.integers(data, "GTcls", "Segmentation")
    assert ours.dtype == theirs.dtype == np.dtype(kind)
    assert np.array_equal(ours, theirs) and np.array_equal(ours, mask)


def big_endian(mask):
    """The same by hand, in the other order of bytes: SciPy does not write it."""

    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    def head(code, shape, name):
        flags = element(6, struct.pack(">II", code, 0))
        return flags + element(5, struct.pack(">2i", *shape)) + element(1, name)

    numbers = element(14, head(11, mask.shape, b"") + element(4, mask.astype(">u2").tobytes("F")))
    names = struct.pack(">HHi", 4, 5, 16) + element(1, b"Segmentation".ljust(16, b"\0"))
    return (
        b"MATLAB".ljust(124) + b"\1\0MI" + element(14, head(2, (1, 1), b"GTcls") + names + numbers)
    )


def test_the_other_order_of_bytes():
    mask = np.arange(300, 312, dtype=np.uint16).reshape(3, 4)
    data = big_endian(mask)
    theirs = loadmat(io.BytesIO(data))["GTcls"]["Segmentation"][0, 0]
    assert np.array_equal(matlab.integers(data, "GTcls", "Segmentation"), mask)
    assert np.array_equal(theirs, mask)


FAULTS = [
    (lambda data: data[:60], "no MATLAB 5 file"),
    (lambda data: b"MATLAB 7.3" + data[10:], "save it with -v7"),
    (lambda data: data[:128], "holds no structure GTcls"),
    (lambda data: data[:-40], "is cut or damaged"),
    (lambda data: data.replace(b"GTcls", b"GTins"), "holds no structure GTcls"),
    (lambda data: data.replace(b"Segmentation", b"Segmentatiom"), "holds no field Segmentation"),
    (lambda data: written(np.ones((2, 2)), False), "holds no matrix of whole numbers"),
    (lambda data: written(np.ones((2, 2, 2), np.uint8), False), "no matrix of whole numbers"),
    (lambda data: written(np.ones((0, 2), np.uint8), False), "is cut or damaged"),
]


@pytest.mark.parametrize(("damage", "complaint"), FAULTS)
def test_what_is_wrong_is_said(damage, complaint):
    data = written(np.ones((5, 4), np.uint8), False)
    with pytest.raises(ValueError, match=complaint):
        matlab.integers(damage(data), "GTcls", "Segmentation")


def test_what_stands_before_it_is_passed_over():
    """A compressed element need not end on eight bytes; what follows is counted from its end."""
    for length in range(1, 30):
        data = io.BytesIO()
        savemat(data, {"first": np.arange(length)}, do_compression=True)
        data.write(written(np.ones((3, 2), np.uint8), False)[128:])
        assert loadmat(io.BytesIO(data.getvalue()))["GTcls"].dtype.names[1] == "Segmentation"
        assert matlab.integers(data.getvalue(), "GTcls", "Segmentation").shape == (3, 2)


def test_a_map_is_as_large_as_an_image_may_be(monkeypatch):
    monkeypatch.setattr(matlab, "_MOST_NUMBERS", 5)
    with pytest.raises(ValueError, match="over 90 megapixels"):
        matlab.integers(written(np.ones((3, 2), np.uint8), False), "GTcls", "Segmentation")


def test_a_small_file_does_not_unpack_to_a_large_one(monkeypatch):
    data = written(np.zeros((3000, 3000), np.uint8), True)
    assert len(data) < 1 << 16
    monkeypatch.setattr(matlab, "_MOST", 1 << 20)
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        matlab.integers(data, "GTcls", "Segmentation")
