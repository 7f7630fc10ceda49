"""What a notebook begins with: its parameters, its claims, the source that it shows."""

import importlib.util
import sys

import pytest
import yaml
from conftest import TINY_SHAPES

from fcnlib.config import load_profile
from fcnlib.errors import InputError
from fcntools.workbook import lesson as lessons
from fcntools.workbook.lesson import ClaimFailed, Lesson


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


def test_a_lesson_writes_beside_the_trained_networks(tiny_shapes, tmp_path):
    overrides = {"data_dir": str(tiny_shapes), "strides": [32]} | vars(TINY_SHAPES)
    lesson = Lesson("00_data", "smoke", overrides, str(tmp_path))
    assert lesson.config.network.strides == (32,) and lesson.models == tmp_path / "models"
    with pytest.raises(InputError, match=r"missing: run 01_convolutionalize\.ipynb first"):
        lesson.need(lesson.models / "fcn-32s", "01_convolutionalize")


def test_a_lesson_takes_overrides_as_text_and_a_number_for_a_folder(tiny_shapes, monkeypatch):
    monkeypatch.chdir(tiny_shapes)
    sizes = {k: v for k, v in vars(TINY_SHAPES).items() if k != "shapes_seed"}
    text = yaml.safe_dump({"data_dir": str(tiny_shapes), "strides": [32], "flip": False} | sizes)
    lesson = Lesson("00_data", "smoke", text, 7)
    assert lesson.config.network.strides == (32,) and lesson.config.data.flip is False
    assert str(lesson.out) == "7"


@pytest.mark.parametrize("value", ["base_lr=0.01", "[1, 2]", "{base_lr: ", 3, "2020-99-99"])
def test_another_text_is_refused_with_the_right_form(value):
    with pytest.raises(
        InputError, match=r"overrides = .* is no mapping; write \{base_lr: 0\.001\}"
    ):
        Lesson("00_data", "smoke", value, "")


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


def test_source_shows_file_line_and_code_without_docstrings(module, capsys, monkeypatch):
    monkeypatch.setattr(lessons, "display", lambda found: print(found.data))
    bare("smoke").source(module.A.b)
    title, code = capsys.readouterr().out.split("\n\n")
    assert title.startswith("`A.b` in ") and title.endswith("made.py, line 7")
    assert code == '```python\ndef b(self, text=\'"""\'):\n    return """kept"""\n```\n'
    bare("smoke").source(module.A)
    text = capsys.readouterr().out
    assert "class A:\n\n    x = 1\n" in text and "Of" not in text and 'return """kept"""' in text
