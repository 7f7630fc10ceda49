"""The commands that carry weights in and out: released files, other programs' formats."""

from __future__ import annotations

from pathlib import Path

import click

from fcnlib import config
from fcnlib.errors import InputError
from fcnlib.runtime import files
from fcntools.cli.options import network, path_option, short, to_make


@click.group()
def weights() -> None:
    """Bring in ImageNet weights."""


@weights.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@path_option("--to", makes="checkpoint", help="By default data/pretrained/BACKBONE.npz.")
def import_(path: Path, to: Path | None) -> None:
    """Turn a slim checkpoint, or a file of Keras with an InceptionV3 in it, into a checkpoint."""
    from fcnlib import checkpoints
    from fcntools.pretrained import imagenet

    imported = imagenet.read(path)
    default = config.ROOT / "data/pretrained" / f"{imported.backbone}.npz"
    target = to or to_make(default, "checkpoint", "--to")
    checkpoints.save(target, imported.arrays, imported.meta)
    click.echo(f"{short(target)}: {imported}")


@weights.command()
@click.argument("name")
@path_option("--to", "folder", makes="folder", help="Folder; data/pretrained by default.")
@path_option("--archive", help="The released file, if you have it: nothing is downloaded.")
def download(name: str, folder: Path | None, archive: Path | None) -> None:
    """Download released weights and import them: inception_v3, inception_v3_keras, vgg_16 ..."""
    from fcnlib.blocks import BACKBONES
    from fcntools.pretrained import releases

    folder = folder or config.ROOT / "data/pretrained"
    for backbone in filter(name.startswith, BACKBONES):
        to_make(folder / f"{backbone}.npz", "checkpoint", "--to")
    target, imported = releases.obtain(name, folder, archive)
    click.echo(f"{short(target)}: {imported}")


@weights.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@path_option("--to", "target", makes="checkpoint", required=True, help="The .npz to write.")
def shrink(checkpoint: Path, target: Path) -> None:
    """Write a trained network without its optimizer and in 16 bits, for others to start from."""
    checkpoint = network(checkpoint)
    from fcnlib import checkpoints
    from fcnlib.training import CHECKPOINT

    path = checkpoint / CHECKPOINT if checkpoint.is_dir() else checkpoint
    arrays, meta = checkpoints.load(path)
    record = files.read_json(path.with_name("record.json"))
    if "settings" not in meta or record is None:
        raise InputError(f"{path}: no trained network with its record.json beside it")
    kept = {name: array for name, array in arrays.items() if not name.startswith("optimizer/")}
    known = {"kind", "name", "stride", "classes", "labels", "settings", "start"}
    about = {key: value for key, value in meta.items() if key in known}
    checkpoints.save(target, kept, about, half=True)
    files.write_json(target.with_suffix(".json"), record)
    click.echo(f"{short(target)}: {sum(a.size for a in kept.values()) / 1e6:.1f} million numbers")


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--format", "kind", default="onnx", show_default=True, metavar="NAME")
@path_option("--out", makes="any", help="What to write; FORMAT beside the checkpoint by default.")
def export(checkpoint: Path, kind: str, out: Path | None) -> None:
    """Write a trained network as saved_model, onnx, openvino or tflite, and compare its answers."""
    checkpoint = network(checkpoint)
    if out and out.is_file() and out.suffix != f".{kind}":
        raise InputError(f"{out}: is there, and no export to {kind}; name another --out")
    import numpy as np

    from fcnlib.builders import load_fcn
    from fcntools.analysis import networks_2017  # noqa: F401  (builds and loads networks of 2017)
    from fcntools.inference import folding
    from fcntools.synthetic.shapes import draw_scene

    fcn, meta = load_fcn(checkpoint, precision="float32")
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    target = out or (folder / f"fcn-{meta['stride']}s.{kind}").resolve()
    scenes = [draw_scene(np.random.default_rng(i), 97 + 40 * i, i)[0] for i in range(1, 5)]
    found = folding.export(fcn, kind, target, scenes)
    click.echo(
        f"{short(target)}: {100 * found.agreement:.3f} % of the pixels of {found.images} images "
        f"get the same class; scores differ by {found.error:.1e} of the greatest at most"
    )
