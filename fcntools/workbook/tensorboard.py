"""The logs of a run as TensorBoard reads them: scalars of the training, figures as images.

The CSV files stay what everything else reads. An event file is a TFRecord of `Event` messages,
and TensorFlow has both; the viewer itself is no dependency of ours.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import read_json, replacing

_FILE = "events.out.tfevents.0.fcnlib"
_SCALARS = ("loss", "learning_rate", "mean_iou", "images_per_second")


def write_events(run: Path, out: Path) -> list[Path]:
    """Write an event file a network, and one for the figures.

    Args:
        run: a run folder with log.csv files in `models`, figures/*/*.png, or both.
        out: the log folder for TensorBoard; files of an earlier call are replaced.

    Returns:
        The files written.

    Raises:
        InputError: the run has neither logs nor figures.
    """
    logs, models = sorted(run.glob("models/**/log.csv")), run / "models"
    sources = {str(log.parent.relative_to(models)): _scalars(log) for log in logs}
    if figures := sorted(run.glob("figures/*/*.png")):
        sources["figures"] = _images(figures)
    if not sources:
        raise InputError(f"{run}: no log.csv in models and no figures; give the folder of a run")
    return [_write(out / name / _FILE, events) for name, events in sources.items()]


def _write(path: Path, events: Iterator[tf.compat.v1.Event]) -> Path:
    with replacing(path) as part, tf.io.TFRecordWriter(str(part)) as writer:
        writer.write(tf.compat.v1.Event(file_version="brain.Event:2").SerializeToString())
        for event in events:
            writer.write(event.SerializeToString())
    return path


def _scalars(log: Path) -> Iterator[tf.compat.v1.Event]:
    """Yield an event a line of a training log; a cell that is empty gives no value."""
    with open(log, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        values = [
            tf.compat.v1.Summary.Value(tag=tag, simple_value=float(row[tag]))
            for tag in _SCALARS
            if row.get(tag)
        ]
        yield tf.compat.v1.Event(
            wall_time=_ended(log) - float(rows[-1]["seconds"]) + float(row["seconds"]),
            step=int(row["step"]),
            summary=tf.compat.v1.Summary(value=values),
        )


def _ended(log: Path) -> float:
    """Return when a training ended, seconds since 1970; by its log where it has no record yet."""
    record = read_json(log.with_name("record.json"))
    if not record:
        return log.stat().st_mtime
    return datetime.fromisoformat(record["started"]).timestamp() + record["wall_seconds"]


def _images(figures: list[Path]) -> Iterator[tf.compat.v1.Event]:
    for path in figures:
        image = tf.compat.v1.Summary.Image(encoded_image_string=path.read_bytes())
        tag = f"{path.parent.name}/{path.stem}"
        value = tf.compat.v1.Summary.Value(tag=tag, image=image)
        yield tf.compat.v1.Event(summary=tf.compat.v1.Summary(value=[value]))
