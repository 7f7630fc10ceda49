from __future__ import annotations

import subprocess
import sys

import pytest

from fcnlib.config import ROOT
from fcntools.cli import doctor
from fcntools.cli.doctor import Check


def test_this_environment_is_sound():
    # The GPU line alone depends on the machine: a driver without TensorFlow's CUDA is reported.
    found = doctor.checks()
    assert [check for check in found if not check.ok and check.name != "GPU"] == []
    names = [check.name for check in found]
    assert names[0] == "Python" and names[-3:] == ["disk", "TensorFlow", "GPU"]
    assert {"tensorflow", "tf-slim", "numpy", "papermill", "click", "onnxruntime"} <= set(names)


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_the_status_tells_whether_a_check_failed(monkeypatch, capsys, ok, status):
    found = [Check("disk", True, "9 GiB", "never shown"), Check("numpy", ok, "1.0", "install it")]
    monkeypatch.setattr(doctor, "checks", lambda: found)
    assert doctor.main() == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[OK]   disk: 9 GiB"
    assert lines[1] == ("[OK]   numpy: 1.0" if ok else "[FAIL] numpy: 1.0; install it")


def test_it_answers_where_no_package_is_installed():
    # -S and -I leave out site-packages and the user's paths: a bare interpreter.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    code += "from fcntools.cli import doctor; doctor._TENSORFLOW = 'import numpyy'; doctor.main()"
    command = [sys.executable, "-I", "-S", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("[OK]   Python: 3.")
    assert "[FAIL] numpy: not installed; tested with " in run.stdout
    assert "[FAIL] TensorFlow: ModuleNotFoundError: No module named 'numpyy'; " in run.stdout


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


def test_tensorflow_that_does_not_load_or_compute_is_quoted():
    (check,) = doctor.check_tensorflow(None, "Traceback\nImportError: libfoo.so\n", nvidia="")
    assert (check.ok, check.detail) == (False, "ImportError: libfoo.so")


def test_a_gpu_is_named_and_a_fault_where_tensorflow_does_not_see_it():
    answer = {"gpus": 1, "device": "GPU: H100", "computed_in": "bfloat16", "driver": "580.1"}
    computes, gpu = doctor.check_tensorflow(answer, "", "580.1")
    assert computes.ok and gpu.ok
    assert (
        computes.detail
        == "took a training step; device GPU: H100, computed_in bfloat16, driver 580.1"
    )
    computes, gpu = doctor.check_tensorflow(answer | {"gpus": 0}, "other\n", nvidia="1.2.3")
    assert computes.ok and not gpu.ok
    assert '"tensorflow[and-cuda]"' in gpu.hint
