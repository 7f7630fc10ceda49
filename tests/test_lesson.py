"""What a notebook begins with: claims that fail in whatever Python."""

import subprocess
import sys

import pytest

from fcnlib.config import ROOT, load_profile
from fcnlib.lesson import ClaimFailed, Lesson


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
    code = "from test_lesson import bare; bare('quick').claim('one is two', False)"
    command = [sys.executable, "-O", "-c", code]
    run = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.endswith("ClaimFailed: this run does not bear out: one is two\n")
