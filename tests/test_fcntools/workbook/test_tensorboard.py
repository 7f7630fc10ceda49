"""Event files, read back record by record."""

from __future__ import annotations

import os

import pytest
import tensorflow as tf
from PIL import Image

from fcnlib.errors import InputError
from fcntools.workbook.tensorboard import write_events

LOG = "step,stage,learning_rate,loss,images_per_second,seconds,mean_iou\n"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run" / "models" / "fcn-8s"
    folder.mkdir(parents=True)
    (folder / "log.csv").write_text(LOG + "3,head,1e-3,2.5,200,1.5,\n6,head,2e-3,1.5,100,3,0.25\n")
    (tmp_path / "run" / "figures" / "05_x").mkdir(parents=True)
    inner = tmp_path / "run" / "models" / "ablation" / "head"
    inner.mkdir(parents=True)
    (inner / "log.csv").write_text(LOG + "9,head,1e-3,2.5,200,7,\n")
    os.utime(inner / "log.csv", (1.75e9, 1.75e9))
    Image.new("RGB", (4, 3)).save(tmp_path / "run" / "figures" / "05_x" / "bars.png")
    return tmp_path / "run"


def events(path):
    raw = tf.data.TFRecordDataset([str(path)]).as_numpy_iterator()
    return [tf.compat.v1.Event.FromString(record) for record in raw]


def test_a_log_becomes_scalars_and_figures_images(run, tmp_path):
    inner, network, figures = write_events(run, tmp_path / "logs")
    head, first, second = events(network)
    assert network.parent.name == "fcn-8s"
    assert "tfevents" in network.name  # what TensorBoard looks for
    assert head.file_version == "brain.Event:2"
    found = {v.tag: v.simple_value for v in second.summary.value}
    wanted = {"loss": 1.5, "learning_rate": 2e-3, "mean_iou": 0.25, "images_per_second": 100}
    assert found == pytest.approx(wanted)
    assert (first.step, second.step) == (3, 6)
    assert second.wall_time - first.wall_time == 1.5
    assert str(inner.parent.relative_to(tmp_path)) == "logs/ablation/head"
    assert events(inner)[1].wall_time == 1.75e9
    assert "mean_iou" not in {v.tag for v in first.summary.value}
    value = events(figures)[1].summary.value[0]
    assert value.tag == "05_x/bars"
    assert tf.io.decode_png(value.image.encoded_image_string).shape == (3, 4, 3)


def test_writing_again_replaces(run, tmp_path):
    before = write_events(run, tmp_path / "logs")
    assert write_events(run, tmp_path / "logs") == before
    assert len(list((tmp_path / "logs" / "fcn-8s").iterdir())) == 1


def test_a_folder_without_logs_is_refused(tmp_path):
    with pytest.raises(InputError, match="give the folder of a run"):
        write_events(tmp_path, tmp_path / "logs")
