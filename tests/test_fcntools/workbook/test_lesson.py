"""What a notebook begins with: its parameters, and claims that fail in whatever Python."""

import functools
import importlib.util
import subprocess
import sys

import pytest
import yaml
from conftest import TINY_SHAPES

from fcnlib.config import ROOT, load_profile
from fcnlib.errors import InputError
from fcntools.workbook import lesson as lessons
from fcntools.workbook.lesson import ClaimFailed, Lesson, parameter


def bare(profile):
    """Return a lesson that has settings and nothing else."""
    lesson = object.__new__(Lesson)
    lesson.config = load_profile(profile)
    return lesson


def test_a_claim_may_fail_where_a_profile_trains_too_little_a_fact_never(capsys):
    bare("smoke").claim("one is two", False)
    assert capsys.readouterr().out == "not borne out (this profile trains too little): one is two\n"
    for failing in (bare("quick").claim, bare("smoke").fact):
        failing("one is one", True)
        with pytest.raises(ClaimFailed, match="not bear out: one is two"):
            failing("one is two", False)


def test_a_claim_fails_in_a_python_without_asserts_too():
    code = "import sys; sys.path += ['tests', 'tests/test_fcntools/workbook']; "
    code += "import test_lesson as t; "
    code += "t.bare('quick').claim('one is two', False)"
    command = [sys.executable, "-O", "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.endswith("ClaimFailed: this run does not bear out: one is two\n")


def test_a_lesson_takes_overrides_as_text_and_a_number_for_a_folder(tiny_shapes, monkeypatch):
    monkeypatch.chdir(tiny_shapes)
    sizes = {k: v for k, v in vars(TINY_SHAPES).items() if k != "shapes_seed"}
    text = yaml.safe_dump({"data_dir": str(tiny_shapes), "chain": [32], "flip": False} | sizes)
    lesson = Lesson("00_data", "smoke", text, 7)
    assert lesson.config.network.chain == (32,) and lesson.config.data.flip is False
    assert str(lesson.out) == "7"


@pytest.mark.parametrize(
    ("value", "like", "wanted"),
    [
        ("{base_lr: 0.01, chain: [32, 8]}", {"a": 1}, {"base_lr": 0.01, "chain": [32, 8]}),
        ('{"flip": true}', {"a": 1}, {"flip": True}),
        ({"seed": 2}, {"a": 1}, {"seed": 2}),
        ({1: 2}, {"a": 1}, {"1": 2}),
        (None, {"a": 1}, {}),
        ("[2017, 'repaired']", ["a"], ["2017", "repaired"]),
        (("2017",), ["a"], ["2017"]),
    ],
)
def test_a_list_or_mapping_may_be_text(value, like, wanted):
    assert parameter("x", value, like) == wanted


@pytest.mark.parametrize("value", ["base_lr=0.01", "[1, 2]", "{base_lr: ", 3, "2020-99-99"])
def test_another_text_is_refused_with_the_right_form(value):
    with pytest.raises(InputError) as caught:
        parameter("overrides", value, {"base_lr": 0.001})
    said = f'overrides = {value!r} is no mapping; write it as {{"base_lr": 0.001}}'
    assert str(caught.value) == said


SOURCE = '''
class A:
    """Of a."""

    x = 1

    def b(self, text=\\'"""\\'):
        """Of b.

        More.
        """
        return """kept"""
'''.replace("\\", "")


@pytest.fixture
def module(tmp_path, monkeypatch):
    path = tmp_path / "made.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("made", path)
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "made", made)
    spec.loader.exec_module(made)
    return made


def shown(capsys, subject, **more):
    bare("smoke").source(subject, **more)
    return capsys.readouterr().out


def test_source_shows_file_line_and_code_with_docstrings_or_without(module, capsys, monkeypatch):
    monkeypatch.setattr(lessons, "display", lambda found: print(found.data))
    title, code = shown(capsys, module.A.b).split("\n\n")
    assert title.startswith("`A.b` in ") and title.endswith("made.py, line 7")
    assert code == '```python\ndef b(self, text=\'"""\'):\n    return """kept"""\n```\n'
    text = shown(capsys, module.A)
    assert "class A:\n\n    x = 1\n" in text and "Of" not in text and 'return """kept"""' in text
    whole = shown(capsys, functools.wraps(module.A)(lambda: None), docstrings=True)
    assert whole.endswith(f"```python{SOURCE}```\n")
