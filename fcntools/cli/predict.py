"""The commands for a user's own images and own tools: predict, tensorboard."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError
from fcntools.cli import options


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@options.places_argument
@options.path_option("--out", makes="folder", required=True, help="Folder of the answers.")
@options.averaging_options
@click.option("--crf", is_flag=True, help="Sharpen with a conditional random field.")
@click.option("--tile", default=1024, show_default=True, help="Pixels a side of a tile.")
@click.option("--engine", default="tensorflow", help="Or openvino, onnxruntime.")
def predict(
    checkpoint: Path, places: tuple[Path, ...], out: Path, others: tuple[Path, ...], **how: Any
) -> None:
    """Label images or folders of images with a trained network, of a run with its finest.

    Each gets a palette PNG, an overlay and a JSON of class shares; legend.png names the colours.
    """
    from PIL import Image

    from fcnlib.datasets import read_image
    from fcnlib.runtime import progress
    from fcntools.inference import outputs

    images = outputs.find_images(places)
    names = outputs.choose_names(images, out)
    checkpoint, *others = map(options.network, (checkpoint, *others))
    from fcntools.analysis import networks_2017  # noqa: F401  (builds and loads networks of 2017)
    from fcntools.inference.segmenter import Segmenter, load_alike, tiles

    networks, meta = load_alike(checkpoint, *others)
    labels, segmenter, failed = outputs.labels_of(meta), Segmenter(*networks, **how), 0
    said = {"network": f"FCN-{meta['stride']}s"} | how
    said |= {"others": [os.path.relpath(other, out) for other in others]}
    # A hundred megapixels are no bomb here: the image is cut into tiles.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    with progress.bar(len(images), "predict", "image") as bar:
        for name, path in zip(names, images, strict=True):
            try:
                image = read_image(path)
                count = len(tiles(image.shape[:2], segmenter.side))
                with progress.bar(count if count > 1 else 0, path.name, "tile") as inner:
                    answer = segmenter.label(image, inner.update)
                about = {"file": os.path.relpath(path, out)} | said
                outputs.write_answer(out, name, image, answer, labels, about)
            except InputError as error:
                failed += 1
                bar.say(f"fcnlib: error: {error}")
            bar.update(1)
    if failed < len(images):
        outputs.write_legend(out, labels)
    click.echo(f"{options.short(out)}: {len(images) - failed} of {len(images)} images labelled")
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@options.path_option("--out", makes="folder", help="The log folder; RUN/tensorboard by default.")
def tensorboard(run: Path, out: Path | None) -> None:
    """Write a run's training logs and figures for TensorBoard (`pip install '.[tensorboard]'`)."""
    from fcntools.workbook.tensorboard import write_events

    out = out or (run / "tensorboard").resolve()
    files = write_events(run, out)
    click.echo(f"{len(files)} logs; tensorboard --logdir {options.short(out)}")
