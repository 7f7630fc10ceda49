from __future__ import annotations

import re
import subprocess
import sys

import pytest

from fcnlib.config import ROOT
from fcntools.cli import doctor
from fcntools.cli.doctor import Check

CPUINFO = "processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f amx_bf16\n"


def test_this_environment_is_sound():
    # The GPU line alone depends on the machine: a driver without TensorFlow's CUDA is reported.
    found = doctor.checks()
    assert [str(c) for c in found if not c.ok and c.name != "GPU"] == []
    names = [c.name for c in found]
    assert names[0] == "interpreter"
    assert names[-6:] == ["TensorFlow", "GPU", "training step", "CPU", "disk", "kernel"]
    assert {"tensorflow", "tf-slim", "numpy", "papermill", "click"} <= set(names)


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
    check = doctor.check_interpreter(">=3.11,<3.14", version, 0)
    assert check.ok is ok
    assert check.hint == "use Python 3.11 to 3.13"
    assert not doctor.check_interpreter(">=3.11,<3.14", version, 1).ok


def test_a_step_that_fails_is_a_fault(monkeypatch):
    # As on a GPU where the weights lie apart from their moments: TensorFlow loads, nothing trains.
    broken = doctor._STEP.replace(
        "    Trainer(", "    raise SystemError('Cannot place')\n    Trainer("
    )
    check = doctor.check_step(*doctor._ask(broken))
    assert not check.ok
    assert check.detail == "failed: SystemError: Cannot place"


def test_a_step_names_the_device_and_what_computes_on_it():
    answer = {"device": "GPU: H100", "computed_in": "bfloat16", "driver": "580.1", "cuda": "12.9"}
    check = doctor.check_step(answer | {"cudnn": None}, "")
    assert check.ok
    assert check.detail == "taken; GPU: H100, bfloat16, driver 580.1, cuda 12.9"


def test_a_version_is_compared_with_the_tested_one(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.4.6")
    assert doctor.check_version("numpy==2.4.6").ok
    older = doctor.check_version("numpy==2.4.7")
    assert (older.ok, older.detail) == (False, "2.4.6; tested with 2.4.7")
    assert "make workbook" in older.hint


def test_a_missing_package_is_named():
    check = doctor.check_version("no-such-package==1.0")
    assert (check.name, check.ok) == ("no-such-package", False)
    assert check.detail == "not installed; tested with 1.0"


def test_tensorflow_that_does_not_load_is_quoted():
    (check,) = doctor.check_tensorflow(None, "Traceback\nImportError: libfoo.so\n", nvidia=False)
    assert (check.ok, check.detail) == (False, "does not load: ImportError: libfoo.so")


def test_another_minor_version_of_tensorflow_fails():
    loads, gpu = doctor.check_tensorflow(["2.22.0", "2.21", 0, "CPU"], "", nvidia=False)
    assert not loads.ok
    assert gpu.ok


def test_a_gpu_is_named():
    _, gpu = doctor.check_tensorflow(["2.21.0", "2.21", 1, "GPU: H100"], "", nvidia=True)
    assert gpu == Check("GPU", True, "1 seen; first GPU: H100")


def test_an_unused_gpu_fails_with_what_to_install():
    words = "W0: Cannot dlopen some GPU libraries.\nother\n"
    _, gpu = doctor.check_tensorflow(["2.21.0", "2.21", 0, "CPU"], words, nvidia=True)
    assert not gpu.ok
    assert "Cannot dlopen some GPU libraries" in gpu.hint
    assert '"tensorflow[and-cuda]==2.21.0"' in gpu.hint


def test_cpu_features_inform_and_never_fail():
    check = doctor.check_cpu(CPUINFO)
    assert check.ok
    assert check.detail.endswith("has avx2, avx512f, amx_bf16; lacks avx512_bf16")
    assert doctor.check_cpu("").detail.endswith("features not known")


@pytest.mark.parametrize(("gib", "ok"), [(1.9, False), (2.1, True)])
def test_disk(gib, ok):
    assert doctor.check_disk(int(gib * 2**30)).ok is ok


@pytest.mark.parametrize(
    ("program", "ok"),
    [("python", True), ("python3", True), (sys.executable, True), ("/elsewhere/bin/python", False)],
)
def test_the_kernel_must_be_this_interpreter(program, ok):
    check = doctor.check_kernel([program, "/kernels/python3"], "")
    assert check.ok is ok
    assert "/kernels/python3" in check.hint


def test_no_kernel_at_all():
    check = doctor.check_kernel(None, "NoSuchKernel: No such kernel named python3\n")
    assert not check.ok
    assert "NoSuchKernel" in check.detail


def test_a_probe_returns_its_last_line_or_its_errors():
    assert doctor._ask("print('chatter'); print('[1, 2]')")[0] == [1, 2]
    answer, words = doctor._ask("raise SystemExit('broken')")
    assert answer is None
    assert "broken" in words
