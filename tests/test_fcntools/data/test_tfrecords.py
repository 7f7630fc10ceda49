"""Packed data sets: the bytes of the files, the same batches, and nothing damaged gets through."""

import csv
import importlib.util
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fcnlib.config import Config
from fcnlib.datasets import Dataset, Record, open_dataset, read_pair
from fcnlib.errors import InputError
from fcnlib.input_pipeline import ImageStore, train_batches
from fcnlib.runtime.compat import tf
from fcntools.cli import main
from fcntools.data.check import check_dataset
from fcntools.data.tfrecords import pack


@pytest.fixture(scope="module")
def both(tiny_shapes, tmp_path_factory):
    """The same data set in files and, in shards of five pairs, in records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fcntools.data.tfrecords.SHARD", 5)
        files = open_dataset("shapes", tiny_shapes)
        return files, pack(files, tmp_path_factory.mktemp("packed") / "shapes")


def test_names_labels_and_bytes_are_those_of_the_files(both):
    files, records = both
    assert records.name == "shapes" and records.counts() == files.counts()
    assert records.labels.classes == files.labels.classes
    np.testing.assert_array_equal(records.labels.lut, files.labels.lut)
    np.testing.assert_array_equal(records.labels.palette, files.labels.palette)
    for split in ("train", "val"):
        for one, other in zip(files.records(split), records.records(split), strict=True):
            assert one.name == other.name and one.image_path.stem == other.image_path.stem
            assert one.image_path.read_bytes() == other.image_path.read_bytes()
            assert one.label_path.read_bytes() == other.label_path.read_bytes()


def test_the_same_seed_gives_the_same_batches(both):
    data = Config().data
    stores = [ImageStore(d.records("train"), d.labels) for d in both]
    for one, other in zip(*(train_batches(s, data, 4, 7, 2, 4) for s in stores), strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_tensorflow_reads_the_shards(both):
    files, records = both
    shards = sorted(records.root.glob("*.tfrecord.gz"))
    assert shards[0].name == "pairs-00000-of-00004.tfrecord.gz"
    kinds = {key: tf.io.FixedLenFeature([], tf.string) for key in ("image/bytes", "mask/bytes")}
    read = [
        tf.io.parse_single_example(example, kinds)
        for example in tf.data.TFRecordDataset([str(s) for s in shards], "GZIP")
    ]
    pairs = [*files.records("train"), *files.records("val")]
    assert [r["image/bytes"].numpy() for r in read] == [p.image_path.read_bytes() for p in pairs]


def test_overlapping_splits_store_a_pair_once_and_hide_no_leak(tiny_shapes, tmp_path):
    files = open_dataset("shapes", tiny_shapes)
    train, val = files.records("train"), files.records("val")
    other = Record(val[1].name, train[0].image_path, val[1].label_path)  # of train, other mask
    splits = {"train": train, "val": (*val, train[3], other), "trainval": (*train, *val)}
    packed = pack(Dataset("x", tiny_shapes, files.labels, splits), tmp_path / "packed")
    assert {s: [r.name for r in rs] for s, rs in packed.splits.items()} == {
        s: [r.name for r in rs] for s, rs in splits.items()
    }
    assert len({r for records in packed.splits.values() for r in records}) == 12 + 5 + 1
    (shard,) = packed.root.glob("*.gz")
    images = [r.image_path.read_bytes() for r in (*train, *val)]
    assert shard.stat().st_size < 1.3 * sum(map(len, images)), "17 pairs, not 36"
    report = check_dataset(packed)
    leaks = [fault for fault in report.faults if "is in train and in val" in fault]
    assert {leak.split(":")[1].strip() for leak in leaks} == {
        f"image/{train[i].image_path.name}" for i in (0, 3)
    }
    assert sum(report.sizes.values()) == 12 + 5 + 1


def test_reading_records_keeps_nothing_in_memory(both):
    def read_all():
        for record in records:
            record.image_path.read_bytes()
            record.label_path.read_bytes()

    records = open_dataset("packed", both[1].root).records("train")
    both[1].records("val")[0].image_path.read_bytes()  # whatever a first call loads
    tracemalloc.start()
    read_all()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pairs = [len(r.image_path.read_bytes()) + len(r.label_path.read_bytes()) for r in records]
    assert len(pairs) == 12 and kept < sum(pairs) / 2, "of the last four"
    assert peak < 2 * sum(pairs) and peak < 1 << 20


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "index", "version"])
def test_what_is_damaged_is_refused(both, tmp_path, damage):
    root = tmp_path / "packed"
    root.mkdir()
    for path in both[1].root.iterdir():
        (root / path.name).write_bytes(path.read_bytes())
    shard, index = root / "pairs-00001-of-00004.tfrecord.gz", root / "index.json"
    if damage in ("flip", "cut"):
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    elif damage == "gone":
        shard.unlink()
    else:
        text = "{" if damage == "index" else json.dumps({"version": 0})
        index.write_text(text)
    with pytest.raises(InputError, match="pack") as caught:
        dataset = open_dataset("packed", root)
        for record in dataset.records("train"):
            read_pair(record, dataset.labels)
    assert "\n" not in str(caught.value)
    assert (shard if damage in ("flip", "cut", "gone") else root).name in str(caught.value)


def test_a_faulty_pair_is_not_packed(tiny_shapes, tmp_path):
    files = open_dataset("shapes", tiny_shapes)
    record = files.records("train")[0]
    bad = tmp_path / "bad.png"
    bad.write_bytes(record.label_path.read_bytes()[:100])
    broken = type(files)(
        "x", tmp_path, files.labels, {"train": (type(record)("x", record.image_path, bad),)}
    )
    with pytest.raises(InputError, match=r"bad\.png"):
        pack(broken, tmp_path / "to")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.png"]


def test_the_command_packs(tiny_shapes, tmp_path):
    words = ["data", "pack", str(tiny_shapes), "--format", "shapes", "--to", str(tmp_path / "p")]
    run = CliRunner().invoke(main.main, words)
    assert run.exit_code == 0, run.output
    assert "5 val" in run.output
    again = CliRunner().invoke(main.main, words)
    assert again.exit_code == 2 and "is there already" in again.output


def test_the_benchmark_measures_both_and_writes_its_table(tiny_shapes, tmp_path, capsys):
    path = Path(__file__).parents[3] / "benchmarks" / "records.py"
    spec = importlib.util.spec_from_file_location("records", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = tmp_path / "records.csv"
    module.main([str(tiny_shapes), "--format=shapes", "--rounds=1", f"--csv={table}"])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["way"] for row in rows] == list(module.WAYS)
    for row in rows:
        files, records, ratio = (float(row[key]) for key in ("files", "records", "ratio"))
        assert row["pairs"] == "12" and ratio == pytest.approx(records / files, rel=0.05)
    assert f"ratio {rows[0]['ratio']}" in capsys.readouterr().out
    assert [p.name for p in tiny_shapes.parent.iterdir()] == ["shapes"], "what was packed is gone"
