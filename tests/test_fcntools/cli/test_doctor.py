from __future__ import annotations

import re
import subprocess
import sys

import pytest

from fcnlib.config import ROOT
from fcntools.cli import doctor
from fcntools.cli.doctor import Check

CPU = {"gpus": 0, "device": "CPU", "computed_in": "float32"}


def test_this_environment_is_sound():
    # The GPU line alone depends on the machine: a driver without TensorFlow's CUDA is reported.
    found = doctor.checks()
    assert [str(c) for c in found if not c.ok and c.name != "GPU"] == []
    names = [c.name for c in found]
    assert names[0] == "interpreter"
    assert names[-5:] == ["TensorFlow", "GPU", "training step", "disk", "kernel"]
    assert {"tensorflow", "tf-slim", "numpy", "papermill", "click", "onnxruntime"} <= set(names)


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_the_status_tells_whether_a_check_failed(monkeypatch, capsys, ok, status):
    found = [Check("disk", True, "9 GiB", "never shown"), Check("numpy", ok, "1.0", "install it")]
    monkeypatch.setattr(doctor, "checks", lambda: found)
    assert doctor.main() == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[OK]   disk: 9 GiB"
    assert lines[1].startswith("[OK]   numpy" if ok else "[FAIL] numpy: 1.0")
    assert ("       install it" in lines) is not ok


def test_it_answers_where_no_package_is_installed():
    # -S and -I leave out site-packages and the user's paths: a bare interpreter.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    code += "from fcntools.cli import doctor; doctor.main()"
    command = [sys.executable, "-I", "-S", "-O", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.match(r"\[FAIL\] interpreter: Python \S+ leaves out every assert\n", run.stdout)
    assert "[FAIL] numpy: not installed; tested with " in run.stdout


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)]
)
def test_interpreter(version, ok):
    check = doctor.check_interpreter(">=3.11,<3.14", version)
    assert check.ok is ok
    assert check.hint == "use Python 3.11 to 3.13"


def test_a_step_that_fails_is_a_fault():
    # As on a GPU where the weights lie apart from their moments: TensorFlow loads, nothing trains.
    broken = doctor._TENSORFLOW.replace(
        "from fcnlib import losses", "raise SystemError('Cannot place')"
    )
    assert broken != doctor._TENSORFLOW
    loads, _, step = doctor.check_tensorflow(*doctor._ask(broken), nvidia=False)
    assert loads.ok and not step.ok
    assert step.detail == "failed: SystemError: Cannot place"


def test_a_step_names_the_device_and_what_computes_on_it():
    answer = {"gpus": 1, "device": "GPU: H100", "computed_in": "bfloat16"}
    _, gpu, step = doctor.check_tensorflow(answer, "", True)
    assert gpu == Check("GPU", True, "1 seen")
    assert step.ok
    assert step.detail == "taken; GPU: H100, bfloat16"


def test_a_version_is_compared_with_the_tested_one(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.4.6")
    assert doctor.check_version("numpy==2.4.6").ok
    older = doctor.check_version("numpy==2.4.7")
    assert (older.ok, older.detail) == (False, "2.4.6; tested with 2.4.7")
    assert "make workbook" in older.hint


@pytest.mark.parametrize("needed", [True, False])
def test_a_missing_package_is_named_and_a_fault_where_a_run_needs_it(needed):
    check = doctor.check_version("no-such-package==1.0", needed)
    assert (check.name, check.ok) == ("no-such-package", not needed)
    assert check.detail.startswith("not installed; tested with 1.0")


def test_tensorflow_that_does_not_load_is_quoted():
    (check,) = doctor.check_tensorflow({}, "Traceback\nImportError: libfoo.so\n", nvidia=False)
    assert (check.ok, check.detail) == (False, "does not load: ImportError: libfoo.so")


def test_an_unused_gpu_fails_with_what_to_install():
    words = "W0: Cannot dlopen some GPU libraries.\nother\n"
    _, gpu, step = doctor.check_tensorflow(CPU, words, nvidia=True)
    assert step.ok and not gpu.ok
    assert "Cannot dlopen some GPU libraries" in gpu.hint
    assert '"tensorflow[and-cuda]"' in gpu.hint


@pytest.mark.parametrize(
    ("program", "ok"),
    [("python", True), ("python3", True), (sys.executable, True), ("/elsewhere/bin/python", False)],
)
def test_the_kernel_must_be_this_interpreter(program, ok):
    check = doctor.check_kernel({"program": program, "folder": "/kernels/python3"}, "")
    assert check.ok is ok
    assert "/kernels/python3" in check.hint


def test_no_kernel_at_all():
    check = doctor.check_kernel({}, "NoSuchKernel: No such kernel named python3\n")
    assert not check.ok
    assert "NoSuchKernel" in check.detail
