"""The logs of a run for TensorBoard, which need not be installed: scalars, figures as images."""

from __future__ import annotations

import csv
from pathlib import Path

from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import replacing

_FILE = "events.out.tfevents.0.fcnlib"
_SCALARS = ("loss", "learning_rate", "mean_iou", "images_per_second")
_Event, _Summary = tf.compat.v1.Event, tf.compat.v1.Summary


def write_events(run: Path, out: Path) -> list[Path]:
    """Write an event file a network, and one for the figures, into the log folder `out`.

    Raises:
        InputError: the run folder has neither log.csv files in models nor figures/*/*.png.
    """
    logs = sorted(run.glob("models/**/log.csv"))
    events = {log.parent.relative_to(run / "models"): _scalars(log) for log in logs}
    if figures := sorted(run.glob("figures/*/*.png")):
        events[Path("figures")] = [_image(path) for path in figures]
    if not events:
        raise InputError(f"{run}: no log.csv in models and no figures; give the folder of a run")
    for name, of_one in events.items():
        with replacing(out / name / _FILE) as part, tf.io.TFRecordWriter(str(part)) as writer:
            for event in (_Event(file_version="brain.Event:2"), *of_one):
                writer.write(event.SerializeToString())
    return [out / name / _FILE for name in events]


def _scalars(log: Path) -> list[_Event]:
    with open(log, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    began = log.stat().st_mtime - float(rows[-1]["seconds"])
    events = []
    for row in rows:
        there = [tag for tag in _SCALARS if row.get(tag)]
        values = [_Summary.Value(tag=tag, simple_value=float(row[tag])) for tag in there]
        time, step = began + float(row["seconds"]), int(row["step"])
        events.append(_Event(wall_time=time, step=step, summary=_Summary(value=values)))
    return events


def _image(path: Path) -> _Event:
    image = _Summary.Image(encoded_image_string=path.read_bytes())
    value = _Summary.Value(tag=f"{path.parent.name}/{path.stem}", image=image)
    return _Event(summary=_Summary(value=[value]))
