"""Settings: profiles load, overrides win, and every mistake is answered by name."""

import dataclasses
import json

import pytest

from fcnlib import config
from fcnlib.config import Config, load_profile, parse_setting
from fcnlib.errors import InputError


@pytest.mark.parametrize("name", config.profiles())
def test_every_profile_loads_and_survives_json(name):
    loaded = load_profile(name)
    flat = json.loads(json.dumps(loaded.to_dict()))
    assert set(flat) == set(config.keys())
    assert Config().replace(**flat) == loaded


def test_settings_are_unique_over_all_sections():
    names = [f.name for section in vars(Config()).values() for f in dataclasses.fields(section)]
    assert len(names) == len(set(names)) == len(config.keys())


def test_what_changes_no_network_is_not_compared_with_its_checkpoint():
    kept = Config().training_settings("data", "network", "train", "scenes")
    assert {"crop_size", "dropout", "seed", "weight_decay", "scenes_seed"} <= set(kept)
    assert not {
        "data_dir",
        "strides",
        "init_checkpoint",
        "base_lr",
        "coarse_steps",
        "scenes_dir",
    } & set(kept)
    assert "train_images" not in kept, "a setting of another section"


def test_an_old_spelling_is_read_everywhere_and_reported_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(config, "ALIASES", {"steps_of_old": "head_steps", "old_loss": "loss"})
    monkeypatch.setattr(config, "VALUE_ALIASES", {"loss=total": "sum"})
    (tmp_path / "mine.toml").write_text("[train]\nsteps_of_old = 5\nloss = 'total'\n")
    loaded = load_profile(str(tmp_path / "mine.toml"), {"old_loss": "total"})
    assert (loaded.train.head_steps, loaded.train.loss) == (5, "sum")
    assert parse_setting("steps_of_old=7") == ("head_steps", 7)
    assert capsys.readouterr().err.count("steps_of_old=5: this setting is now head_steps=5") == 1
    assert Config().replace(steps_of_old=8).train.head_steps == 8, "as a checkpoint names it"
    assert capsys.readouterr().err == ""


def test_overrides_win_over_the_profile():
    assert load_profile("smoke").train.head_steps == 3
    assert load_profile("smoke", {"head_steps": 7}).train.head_steps == 7


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("base_lr=0.01", "base_lr", 0.01),
        ("base_lr=1", "base_lr", 1.0),
        ("strides=32,16", "strides", (32, 16)),
        ("flip=false", "flip", False),
        ("train_split=a=b", "train_split", "a=b"),
    ],
)
def test_settings_read_as_the_keys_type(text, key, value):
    found = parse_setting(text)
    assert found == (key, value) and type(found[1]) is type(value)


def test_a_relative_path_counts_from_where_the_user_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key, value = parse_setting("data_dir=./some/where")
    assert value == str(tmp_path / "some/where")
    assert Config().replace(**{key: value}).path(key) == tmp_path / "some/where"


def test_a_relative_path_of_a_profile_counts_from_the_project():
    assert Config().path("data_dir") == config.ROOT / "data/shapes"


def test_a_tilde_is_the_home_wherever_a_path_is_read(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    home.mkdir()
    (home / "mine.toml").write_text('[data]\ndata_dir = "~/a"\ntrain_split = "~/a"\n')
    loaded = load_profile("~/mine.toml", {"scenes_dir": "~/b"})
    assert loaded.path("data_dir") == home / "a" and loaded.path("scenes_dir") == home / "b"
    assert loaded.data.train_split == "~/a", "which is no path"
    assert parse_setting("data_dir=~/a") == ("data_dir", str(home / "a"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base_lr", ["base_lr", "key=value"]),
        ("base_rl=1", ["base_rl", "base_lr"]),
        ("head_steps=1.5", ["head_steps", "1.5", "int"]),
        ("flip=maybe", ["flip", "maybe", "bool"]),
        ("optimizer=lion", ["optimizer", "lion", "adam, sgd"]),
        ("strides=", ["strides"]),
    ],
)
def test_a_bad_setting_is_refused_by_name_and_value(text, words):
    with pytest.raises(InputError) as caught:
        parse_setting(text)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        *({"head_steps": True}, {"flip": 1}, {"strides": []}),
        {"nonsense": 1},
        *({"crop_size": 0}, {"min_scale": 0.0}, {"colour_jitter": 1.0}, {"classmix_prob": 1.5}),
    ],
)
def test_a_value_of_another_type_or_range_is_refused(values):
    with pytest.raises(InputError, match=next(iter(values))):
        Config().replace(**values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train\n", ["not a TOML"]),
        ("[training]\nbase_lr=1\n", ["[training]", "train"]),
        ("[train]\nbase_rl=1.0\n", ["mine.toml", "base_rl", "base_lr"]),
        ("base_lr=1.0\n", ["base_lr"]),
        ("[train]\nseed='a'\n", ["seed", "'a'", "int"]),
    ],
)
def test_a_broken_profile_is_refused_by_name(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_profile(str(path))
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_profile_lists_those_there_are():
    with pytest.raises(InputError, match="quick"):
        load_profile("qiuck")
