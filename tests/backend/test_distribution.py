"""Trainings on several devices and machines, in processes of their own."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from paths import EXAMPLES, SUPPORT

EXAMPLE = EXAMPLES / "train_on_two_workers.py"
TWO_DEVICES = {
    "tensorflow": {},
    "jax": {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
}
SCRIPTS = {"tensorflow": "distribution_mirrored.py", "jax": "distribution_jax.py"}


def run(backend, *command, **variables):
    environment = {**os.environ, "KERAS_BACKEND": backend, **variables}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )


def addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{held.getsockname()[1]}" for held in sockets]
    for held in sockets:
        held.close()
    return found


@pytest.mark.parametrize("backend", SCRIPTS)
def test_two_devices_train_as_one_does(backend):
    pytest.importorskip(backend)
    result = run(backend, SUPPORT / SCRIPTS[backend], **TWO_DEVICES[backend])
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backend", SCRIPTS)
def test_all_of_two_devices(backend):
    pytest.importorskip(backend)
    result = run(backend, SUPPORT / SCRIPTS[backend], "all", **TWO_DEVICES[backend])
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_two_processes_of_torch():
    pytest.importorskip("torch")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    result = run("torch", *launcher, SUPPORT / "distribution_torch.py")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_two_processes_of_jax(tmp_path):
    pytest.importorskip("jax")
    script = SUPPORT / "distribution_jax_processes.py"
    # Folders of their own: that of the second must stay empty, as the first writes.
    folders = [tmp_path / "first", tmp_path / "second"]
    (address,) = addresses(1)
    with ThreadPoolExecutor() as pool:
        results = pool.map(
            lambda i: run("jax", script, i, address, folders[i], folders[0]), range(2)
        )
    for result in results:
        assert result.returncode == 0, result.stderr
    assert_written_by_the_first(folders)


def assert_written_by_the_first(folders):
    """Who deleted them in the end, once all had read them."""
    assert folders[0].exists() and not list(folders[0].iterdir())
    assert not folders[1].exists()


@pytest.mark.slow
def test_two_workers_train_as_one_process_does(tmp_path):
    workers = {"cluster": {"worker": addresses(2)}}
    tasks = [{"task": {"type": "worker", "index": i}} for i in range(2)]
    configs = [json.dumps({**workers, **task}) for task in tasks]
    script = SUPPORT / "distribution_workers.py"
    folders = [tmp_path / "chief", tmp_path / "other"]
    with ThreadPoolExecutor() as pool:
        results = pool.map(
            lambda i: run(
                "tensorflow", script, folders[i], folders[0], TF_CONFIG=configs[i]
            ),
            range(2),
        )
    for result in results:
        assert result.returncode == 0, result.stderr
    assert_written_by_the_first(folders)


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed(tmp_path):
    options = ("--epochs", 3, "--train", 128, "--kill-after", 1)
    result = run("tensorflow", EXAMPLE, *options, "--folder", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout.splitlines()
    ended = said.index("exit statuses: 3 -9")
    for worker in range(2):
        mine = [line for line in said if line.startswith(f"worker {worker}: ")]
        differ = "masks differ between the workers: 100 of 100 images"
        assert mine.count(f"worker {worker}: {differ}") == 2
        assert f"worker {worker}: both workers hold the same masker: True" in mine
        epochs = [line.split(":")[1] for line in mine if ": epoch " in line]
        assert epochs == [" epoch 1", " epoch 2", " epoch 3"]
    gone = "worker 0: Another worker has stopped. Restart all workers to resume."
    assert gone in said[:ended]
    assert said[ended + 1] == (
        "files: classifier/latest.weights.h5, classifier/training_metadata.json, "
        "masker/masker-after-epoch-0.npz"
    )
    assert said[-2:] == ["exit statuses: 0 0", "files: none"]
