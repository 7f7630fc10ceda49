"""Archives: what is inside arrives whole below one folder, or nothing does."""

import io
import stat
import tarfile
import zipfile

import pytest

from fcnlib.errors import InputError
from fcntools.data.download import unpack

FILES = {"a.txt": b"1", "deep/er/b.bin": bytes(range(256)) * 40, "deep/empty": b""}


def tar(path, entries, mode="w:gz"):
    """Write (name, content, or type and what it links to) into a tar archive."""
    with tarfile.open(path, mode) as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                entry.type, entry.linkname = content
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(content), 0o7777
                archive.addfile(entry, io.BytesIO(content))
    return path


def zipped(path, entries, kind=0):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = kind << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def found(folder):
    paths = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def write(tmp_path, form, entries):
    if form == "zip":
        return zipped(tmp_path / "a", entries)
    return tar(tmp_path / "a", entries, form)


@pytest.mark.parametrize("form", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_of_either_kind_is_unpacked(tmp_path, form):
    archive = write(tmp_path, form, FILES.items())
    folder = unpack(archive, tmp_path / "new" / "out")
    assert found(folder) == FILES
    assert [p.name for p in folder.parent.iterdir()] == ["out"]
    assert not (folder / "a.txt").stat().st_mode & 0o7000  # no set-uid from outside


def test_folders_in_the_archive_are_no_obstacle(tmp_path):
    archive = tar(tmp_path / "a", [("./", (tarfile.DIRTYPE, "")), ("./x/y", b"2")])
    assert found(unpack(archive, tmp_path / "out")) == {"x/y": b"2"}
    with zipfile.ZipFile(tmp_path / "z", "w") as z:
        z.mkdir("x")
        z.writestr("x/y", b"3")
    assert found(unpack(tmp_path / "z", tmp_path / "zout")) == {"x/y": b"3"}


def refuse(archive, tmp_path, words):
    outside = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(InputError, match=words) as caught:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(caught.value) and str(archive) in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == outside  # nothing new, inside or outside


@pytest.mark.parametrize("form", ["zip", "w:gz"])
@pytest.mark.parametrize("name", ["../evil", "x/../../evil"])
def test_a_path_out_of_the_folder_is_refused(tmp_path, form, name):
    refuse(write(tmp_path, form, [("good", b"1"), (name, b"2")]), tmp_path, "outside")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "outside"),
        (tarfile.LNKTYPE, "outside"),
        (tarfile.FIFOTYPE, "special file"),
        (tarfile.CHRTYPE, "special file"),
    ],
)
def test_links_out_and_devices_are_refused(tmp_path, kind, said):
    entries = [("good", b"1"), ("bad", (kind, "../../good"))]
    refuse(tar(tmp_path / "a", entries), tmp_path, said)


def test_a_link_in_a_zip_is_no_link(tmp_path):
    archive = zipped(tmp_path / "a", [("bad", b"/etc/passwd")], stat.S_IFLNK | 0o777)
    assert not (unpack(archive, tmp_path / "out") / "bad").is_symlink()


@pytest.mark.parametrize("form", ["zip", "w:gz", "w:xz"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_damaged_archive_is_refused(tmp_path, form, share):
    archive = write(tmp_path, form, FILES.items())
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    refuse(archive, tmp_path, "cannot be unpacked")
    middle = len(data) // 3
    archive.write_bytes(data[:middle] + bytes(40) + data[middle + 40 :])
    refuse(archive, tmp_path, "cannot be unpacked")


def test_no_archive_at_all(tmp_path):
    (tmp_path / "a").write_bytes(b"<html>404</html>")
    refuse(tmp_path / "a", tmp_path, "cannot be unpacked")
    with pytest.raises(InputError, match="No such file"):
        unpack(tmp_path / "nothing", tmp_path / "out")


def test_one_folder_of_an_archive(tmp_path):
    archive = write(tmp_path, "zip", FILES.items())
    assert found(unpack(archive, tmp_path / "out", "deep")) == {
        "er/b.bin": FILES["deep/er/b.bin"],
        "empty": b"",
    }
    with pytest.raises(InputError, match="no folder other"):
        unpack(archive, tmp_path / "none", "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "out"]
