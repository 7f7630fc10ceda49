"""The commands for ImageNet weights: import a released file, download one."""

from __future__ import annotations

from pathlib import Path

import click

from fcnlib.commands import path_option, short


@click.group()
def weights() -> None:
    """Bring in ImageNet weights."""


@weights.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@path_option("--to", "target", help="The .npz to write; data/pretrained/BACKBONE.npz by default.")
def import_(path: Path, target: Path | None) -> None:
    """Turn a slim checkpoint or a Keras InceptionV3 .h5 file into a checkpoint."""
    from fcnlib import imagenet, weights
    from fcnlib.config import ROOT

    imported = imagenet.read(path)
    target = (target or ROOT / "data/pretrained" / f"{imported.backbone}.npz").resolve()
    weights.save(target, imported.arrays, imported.meta)
    click.echo(f"{short(target)}: {imported}")


@weights.command()
@click.argument("name")
@path_option("--to", "folder", help="Folder; data/pretrained by default.")
@path_option("--archive", help="The released file, if you have it: nothing is downloaded.")
def download(name: str, folder: Path | None, archive: Path | None) -> None:
    """Download released weights and import them: inception_v3, inception_v3_keras, vgg_16 ..."""
    from fcnlib import releases
    from fcnlib.config import ROOT

    target, imported = releases.obtain(
        name, (folder or ROOT / "data/pretrained").resolve(), archive
    )
    click.echo(f"{short(target)}: {imported}")
