"""Trainings on several devices and machines, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "train_on_two_workers.py"
TWO_DEVICES = {
    "tensorflow": {},
    "jax": {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
}
SCRIPTS = {"tensorflow": "distribution_mirrored.py", "jax": "distribution_jax.py"}


def run(backend, *command, **variables):
    environment = {**os.environ, "KERAS_BACKEND": backend, **variables}
    # Of a single process: the others would wait for workers of that address.
    environment.pop("TF_CONFIG", None)
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize("backend", SCRIPTS)
def test_two_devices_train_as_one_does(backend):
    result = run(backend, HERE / SCRIPTS[backend], **TWO_DEVICES[backend])
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backend", SCRIPTS)
def test_all_of_two_devices(backend):
    result = run(backend, HERE / SCRIPTS[backend], "all", **TWO_DEVICES[backend])
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_two_processes_of_torch():
    pytest.importorskip("torch")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    result = run("torch", *launcher, HERE / "distribution_torch.py")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed(tmp_path):
    options = ("--epochs", 3, "--images", 128, "--kill-after", 1)
    result = run("tensorflow", EXAMPLE, *options, "--folder", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout.splitlines()
    told = "worker 0: Another worker is gone. Start all of them again, to go on."
    assert told in said
    differ = "masks of 100 images that differ between the workers: 100"
    assert said.count(f"worker 0: {differ}") == 2
    for worker in range(2):
        assert f"worker {worker}: the same masker on both: True" in said
        epochs = [line.split(":")[1] for line in said if "epoch" in line]
        assert epochs
    assert said[-1] == "files: none"
