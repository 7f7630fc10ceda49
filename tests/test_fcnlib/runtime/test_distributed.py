"""Two processes train as one: the same curve, the same counts, and none outlives the other."""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_training import network, trainer, values

from fcnlib import checkpoints, experiment
from fcnlib.config import load_profile
from fcnlib.errors import InputError
from fcnlib.runtime import distributed
from fcnlib.runtime.compat import tf
from fcnlib.training import Stage
from fcntools import launcher as launching
from fcntools import synthetic
from fcntools.cli import main

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {
    "backbone": "vgg_16",
    "normalization": "batch_norm",
    "depth_multiplier": 0.01,
    "min_depth": 4,
    "init_checkpoint": "",
    "strides": [32],
    "image_size": 65,
    "crop_size": 64,
    "head_steps": 2,
    "coarse_steps": 24,
    "batch_norm": "frozen",
    "optimizer": "sgd",  # which, unlike Adam, feels the scale of a gradient
    "precision": "float32",
    "class_weights": "median_frequency",
    "eval_batch_size": 2,
}
OFTEN = ("--set", "checkpoint_seconds=0")
CHECKPOINT = "models/fcn-32s/checkpoint.npz"


def words(root, name, *more):
    texts = {k: ",".join(map(str, v)) if k == "strides" else v for k, v in SETTINGS.items()}
    settings = [f"{k}={v}" for k, v in (texts | {"data_dir": root / "shapes"}).items()]
    settings = [word for text in settings for word in ("--set", text)]
    return ["train", "--profile", "smoke", *settings, "--out", str(root / name), *more]


def be(command, log, variables):
    """Be one process of a cluster, its output in a file."""
    os.environ.update(variables)
    with open(log, "wb", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.argv = ["fcnlib", *command]
    main.main(command, prog_name="fcnlib")


def start(root, name, count, *more):
    """Start a command as a scheduler would: processes with nothing but TF_CONFIG between them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fcnlib.experiment"])
    team = []
    for rank, told in enumerate(tf_configs(count)):
        given = (words(root, name, *more), str(root / f"{name}.{rank}"), told if count > 1 else {})
        team.append(context.Process(target=be, args=given))
        team[-1].start()
    return team


def tf_configs(count, ports=None):
    nodes = [f"127.0.0.1:{port}" for port in ports or launching.free_ports(count)]
    tasks = ({"type": "worker", "index": rank} for rank in range(count))
    return [{"TF_CONFIG": json.dumps({"cluster": {"worker": nodes}, "task": t})} for t in tasks]


def finish(root, name, count, *more):
    for rank, process in enumerate(start(root, name, count, *more)):
        process.join(120)
        assert process.exitcode == 0, (root / f"{name}.{rank}").read_text()
    return checkpoints.load(root / name / CHECKPOINT)


def appears(path):
    late = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < late, path
        time.sleep(0.02)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def lost(root):
    """The first process of a cluster whose second was killed; it ends as others run."""
    first, second = start(root, "lost", 2, *OFTEN)
    appears(root / "lost" / CHECKPOINT)
    second.kill()
    return first


@pytest.fixture(scope="module")
def one(root, lost):
    return finish(root, "one", 1)


@pytest.fixture(scope="module")
def two(root, one):
    return finish(root, "two", 2)


@pytest.mark.slow
def test_two_processes_give_the_curve_and_the_weights_of_one(one, two):
    curves = [[float(row[3]) for row in meta["rows"]] for _, meta in (one, two)]
    assert len(curves[0]) == 26 and len(set(curves[0])) > 20
    np.testing.assert_allclose(curves[1], curves[0], rtol=0, atol=1.01e-5)  # the log has 5 places
    for name, array in one[0].items():
        np.testing.assert_allclose(two[0][name], array, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_lost_process_ends_the_job_which_resumes_and_scores_to_the_same_counts(root, two):
    log = root / "killed.log"
    command = [sys.executable, "-m", "fcnlib", *words(root, "killed", "--workers", "2", *OFTEN)]
    with open(log, "w") as said:
        launcher = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
    appears(root / "killed" / CHECKPOINT)
    team = children(launcher.pid)
    os.kill(team[1], signal.SIGKILL)
    assert launcher.wait(5) == 2
    said = "fcnlib: error: worker 1 of 2: was killed by signal 9; --resume goes on"
    assert errors(log) == [said]
    assert not any(Path(f"/proc/{pid}").exists() for pid in team)
    assert "listens on every address" in log.read_text()
    arrays, meta = checkpoints.load(root / "killed" / CHECKPOINT)
    assert 0 < meta["step"] < 26

    arrays, meta = finish(root, "killed", 2, "--resume")
    assert meta["step"] == 26
    for name, array in two[0].items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    shutil.copytree((root / "killed" / CHECKPOINT).parent, root / "scored")
    kept, _ = checkpoints.load(root / "scored" / "evaluation.npz")
    (root / "scored" / "evaluation.npz").unlink()
    config = load_profile("smoke", {**SETTINGS, "data_dir": str(root / "shapes")})
    alone = experiment.evaluate_fcn(config, synthetic.prepare(config), root / "scored")
    assert len(alone.matrices) == 8
    np.testing.assert_array_equal(kept["matrices"], alone.matrices)


def errors(log):
    lines = log.read_text().splitlines()
    return [line for line in lines if line.startswith(("fcnlib: ", "Traceback"))]


def children(pid):
    """Return the processes that a launcher started, by rank."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    told = {int(p): Path(f"/proc/{p}/environ").read_bytes() for p in found}
    return sorted(told, key=lambda p: b'"index": 1' in told[p])


def test_on_a_cluster_the_others_stop_by_themselves(root, lost):
    lost.join(240)
    assert lost.exitcode == 2
    (line,) = errors(root / "lost.0")
    assert "a worker was lost" in line and "--resume" in line


def test_moving_averages_are_averaged(tmp_path, monkeypatch):
    """The second process is played: it holds a tenth of what the first does."""
    alone, shared, stages = network(), network(), (Stage("all", 1, 1e-3),)
    trainer(alone, tmp_path / "alone", stages).run("")
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "broadcast", lambda given: given)
    monkeypatch.setattr(
        distributed, "all_reduce_sum", lambda t: tf.nest.map_structure(lambda x: 1.1 * x, t)
    )
    trainer(shared, tmp_path / "shared", stages).run("")
    moved = [name for name in values(alone) if "/moving_" in name]
    assert len(moved) == 2
    for name in moved:
        expected = values(alone)[name] * 1.1 / 2
        np.testing.assert_allclose(values(shared)[name], expected, rtol=1e-5, err_msg=name)


def slurm(rank):
    return {
        "SLURM_JOB_ID": "77",
        "SLURM_NODEID": str(rank // 2),
        "SLURM_LOCALID": str(rank % 2),
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "n[9-10]",
    }


def test_slurm_tells_every_task_the_same_cluster_and_its_own_place(tmp_path, monkeypatch):
    """The batch file runs with an srun that starts four tasks one after the other."""
    program = tmp_path / "fcnlib"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" "$*" > "$OUT"\n')
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho n9\necho n10\n")
    lines = ['shift; export OUT="$OUT"']
    for rank in range(4):
        settings = " ".join(f"'{k}={v}'" for k, v in slurm(rank).items())
        lines.append(f'env {settings} OUT="$OUT.{rank}" "$@"')
    (tmp_path / "srun").write_text("#!/bin/sh\n" + "\n".join(lines))
    for name in ("fcnlib", "srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FCNLIB": str(program)}
    env["OUT"] = str(tmp_path / "told")
    batch = ["bash", str(ROOT / "cluster" / "slurm.sbatch"), "--set", "seed=3"]
    subprocess.run(batch, env=env, check=True)
    nodes = tuple(f"{host}:{12000 + 77 * 64 + task}" for host in ("n9", "n10") for task in (0, 1))
    for rank in range(4):
        told, said = (tmp_path / f"told.{rank}").read_text().splitlines()
        assert said == "train --resume --set seed=3"
        monkeypatch.setenv("TF_CONFIG", told)
        assert distributed.cluster() == (nodes, rank)


def test_kubernetes_tells_every_pod_the_same_cluster_and_its_own_place(tmp_path, monkeypatch):
    service, _, job = yaml.safe_load_all((ROOT / "cluster" / "kubernetes.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = {entry["name"]: entry["value"] for entry in container["env"]}
    count = job["spec"]["completions"]
    assert count == job["spec"]["parallelism"] == int(settings["WORKERS"])
    assert service["spec"]["clusterIP"] == "None" and job["spec"]["completionMode"] == "Indexed"
    assert pod["subdomain"] == service["metadata"]["name"] == "fcnlib"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    (tmp_path / "fcnlib").write_text('#!/bin/sh\nprintf %s "$TF_CONFIG"\n')
    (tmp_path / "fcnlib").chmod(0o755)
    for rank in range(count):
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(rank)}
        command = [*container["command"], *container["args"]]
        told = subprocess.run(command, env=env | settings, check=True, capture_output=True)
        monkeypatch.setenv("TF_CONFIG", told.stdout.decode())
        nodes = tuple(f"fcnlib-{i}.fcnlib:2222" for i in range(count))
        assert distributed.cluster() == (nodes, rank)


def test_one_alone_is_no_cluster(monkeypatch):
    told = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(told))
    assert distributed.cluster() is None


MISTAKES = [  # (variables, --workers, batch size, GPUs, what is said)
    ({"TF_CONFIG": "{"}, 1, 4, 0, "TF_CONFIG in the environment describes no cluster"),
    (
        {"TF_CONFIG": tf_configs(2)[0]["TF_CONFIG"].replace("0}", "5}")},
        1,
        4,
        0,
        "TF_CONFIG in the environment describes no cluster",
    ),
    (tf_configs(2)[0], 3, 4, 0, "--workers 3, but the environment names 2"),
    (tf_configs(2)[0], 2, 5, 0, "batch_size = 5 is no multiple of 2 workers"),
    (tf_configs(3)[0], 1, 6, 2, "3 workers on a machine of 2 GPUs"),
    (
        {"TF_CONFIG": tf_configs(2)[0]["TF_CONFIG"].replace('{"worker"', '{"chief": [], "worker"')},
        1,
        4,
        0,
        "TF_CONFIG in the environment describes no cluster",
    ),
]


@pytest.mark.parametrize(("variables", "count", "batch", "gpus", "said"), MISTAKES)
def test_a_mistake_is_one_line(monkeypatch, variables, count, batch, gpus, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU"] * gpus)
    with pytest.raises(InputError, match=said) as raised, distributed.joined(count, batch):
        pytest.fail("joined")
    assert "\n" not in str(raised.value)


def test_a_port_in_use_is_told(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (told, _) = tf_configs(2, [taken.getsockname()[1]] * 2)
        command = [sys.executable, "-m", "fcnlib", *words(root, "taken")]
        run = subprocess.run(command, cwd=ROOT, env=os.environ | told, capture_output=True)
    assert run.returncode == 2 and run.stderr.endswith(b"is the port in use?\n")


def test_no_workers_are_none():
    with pytest.raises(InputError, match="--workers 0: at least 1"):
        launching.launch(["train"], 0)
