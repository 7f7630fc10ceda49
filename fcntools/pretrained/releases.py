"""Where released ImageNet weights are to be had, and how they become a checkpoint of ours.

The checksums of the Keras files stand in the source of keras.applications.inception_v3. Google
published none for the slim archives: Inception-v3's is what a user computed in
https://github.com/tensorflow/models/issues/7808. In any case the content is checked after that:
names, shapes, types and finiteness of every tensor (`imagenet.py`).
"""

from __future__ import annotations

from pathlib import Path

from fcnlib import checkpoints
from fcnlib.errors import InputError
from fcnlib.runtime.files import scratch
from fcntools.data.download import Archive, fetch, unpack
from fcntools.pretrained import imagenet

_SLIM = (
    "https://storage.googleapis.com/download.tensorflow.org/models/",
    "http://download.tensorflow.org/models/",  # the same files under the published address
)
_KERAS = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/",
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.5/",
)
_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels"
# In an archive the checkpoint is named; a file of Keras is the weights itself.
RELEASES = {
    "inception_v3": Archive(
        *(_SLIM, "inception_v3_2016_08_28.tar.gz", "md5:0b7c5aaf2203128c5eb6216f3e25813c"),
        "inception_v3.ckpt",
    ),
    "inception_v3_keras": Archive(
        *(_KERAS, f"{_FILE}.h5", "md5:9a0d58056eeedaa3f26cb7ebd46da564", "")
    ),
    "inception_v3_keras_notop": Archive(
        *(_KERAS, f"{_FILE}_notop.h5", "md5:bcbd6486424b2319ff4ef7d526e38f63", "")
    ),
    "vgg_16": Archive(_SLIM, "vgg_16_2016_08_28.tar.gz", None, "vgg_16.ckpt"),
}


def obtain(name: str, folder: Path, archive: Path | None = None) -> tuple[Path, imagenet.Imported]:
    """Return a checkpoint of released weights, named after its backbone, and what is in it.

    Args:
        name: a name of `RELEASES`.
        folder: where the download and it go; the download stays for a second call.
        archive: the released file, had by other means; it is checked just the same.

    Raises:
        InputError: no such name, it could not be downloaded, or is not what was released.
    """
    if name not in RELEASES:
        raise InputError(f"no released weights {name!r}; there are {', '.join(RELEASES)}")
    release = RELEASES[name]
    file = fetch(release, folder / release.file, archive)
    with scratch(folder / "unpacked") as place:
        imported = imagenet.read(unpack(file, place) / release.inner if release.inner else file)
    target = folder / f"{imported.backbone}.npz"
    checkpoints.save(target, imported.arrays, imported.meta)
    return target, imported
