"""What a record of a run still says: its command, its settings, and what has changed since."""

import pytest
from click.testing import CliRunner
from conftest import TINY_SHAPES

from fcnlib.config import ROOT, Config, load_profile, parse_setting, profiles
from fcnlib.runtime import files, run_record
from fcntools.cli import main, rerun


def write(folder, **changed):
    """Write a record as a run of now would."""
    record = run_record.capture(Config(), started=run_record.start(), device={"device": "CPU"})
    record |= {"command": "fcnlib train --set seed=3 --out x --resume", **changed}
    files.write_json(folder / "record.json", record)
    return folder / "record.json"


@pytest.mark.parametrize("name", profiles())
def test_settings_written_for_the_command_line_read_the_same(name):
    config = load_profile(name)
    words = (word.removeprefix("--set=") for word in rerun.as_words(config))
    read = dict(map(parse_setting, words))
    paths = ("data_dir", "init_checkpoint", "scenes_dir")
    paths = {k: str(config.path(k)) if config.to_dict()[k] else "" for k in paths}
    assert Config().replace(**read) == config.replace(**paths)


def test_a_record_of_now_has_not_changed_but_for_edits(tmp_path):
    record, words, config = rerun.read(write(tmp_path))
    assert words == ["train", "--set", "seed=3", "--out", "x", "--resume"]
    assert config.path("data_dir") == ROOT / "data" / "shapes"
    assert [line for line in rerun.changes(record, config) if "edited" not in line] == []


def test_code_versions_and_data_that_changed_are_named(tmp_path, tiny_shapes):
    versions = run_record.versions() | {"numpy": "1.0"}
    path = write(
        tmp_path, commit="0" * 40, versions=versions, data={"train": "f" * 16, "initial": "0" * 16}
    )
    record, _, config = rerun.read(path)
    config = config.replace(data_dir=str(tiny_shapes), init_checkpoint="", **vars(TINY_SHAPES))
    found = {line.split(":")[0] for line in rerun.changes(record, config)} - {"code"}
    assert found == {"commit", "numpy", "data of train", "data of initial"}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"command": "jupyter lab"}, "only train, compare, run can be repeated"),
        ({"command": "fcnlib evaluate x"}, "only train, compare, run can be repeated"),
        ({"command": None}, "only train"),
        ({"config": {"nonsense": 1}}, "unknown setting"),
        ({"config": 3}, "no record of a run"),
    ],
)
def test_what_cannot_be_repeated_is_one_line_and_status_2(tmp_path, changed, complaint):
    path = write(tmp_path, **changed)
    done = CliRunner().invoke(main.main, ["rerun", str(path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and complaint in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_repeated_onto_itself(tmp_path):
    path = write(tmp_path / "run" / "models" / "fcn-32s")
    for place in (path, path.parent):
        words = ["rerun", str(place), "--out", str(tmp_path / "run")]
        done = CliRunner().invoke(main.main, words)
        assert done.exit_code == 2 and "holds the run to repeat" in done.output
