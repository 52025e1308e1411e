"""Runs that are killed, divided, damaged or mistaken for others."""

import errno
import json
import multiprocessing
import os
import subprocess

import numpy as np
import pytest
from evaluate_in_process import run
from meanwhile import begin_meanwhile

from keras_maskdef.core.atomic_files import replaced, write
from keras_maskdef.core.run_folder import RESULTS, RunFolder
from keras_maskdef.evaluation.merge import merge

# Imports TensorFlow once, not once a process.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["evaluate_in_process"])


def outcomes(folder):
    return sorted(path.name for path in (folder / "outcomes").glob("[!.]*.npz"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "whole"
    run(folder)
    return folder


@pytest.mark.slow
def test_killed_ten_times_at_random_moments(undisturbed, tmp_path):
    """The same results, byte for byte, and nothing done twice that was done."""
    folder = tmp_path / "killed"
    pieces = len(outcomes(undisturbed))
    # Each kill comes a random while after another few pieces of work are done.
    moments = np.random.default_rng(0).uniform(0, 0.3, 10)
    wanted = np.linspace(0, pieces - 1, 10).astype(int)
    for moment, done in zip(moments, wanted, strict=True):
        process = PROCESSES.Process(target=run, args=(folder,))
        process.start()
        while process.is_alive() and _count(folder) < done:
            process.join(0.005)
        process.join(moment)
        process.kill()
        process.join()
    kept = {f: f.stat().st_mtime_ns for f in (folder / "outcomes").glob("[!.]*.npz")}
    last = PROCESSES.Process(target=run, args=(folder,))
    last.start()
    last.join()
    assert last.exitcode == 0
    assert (folder / RESULTS).read_bytes() == (undisturbed / RESULTS).read_bytes()
    assert outcomes(folder) == outcomes(undisturbed)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def _count(folder):
    return len(outcomes(folder)) if folder.exists() else 0


def test_shards_merge_to_the_whole(undisturbed, tmp_path):
    parts = [tmp_path / "a", tmp_path / "b"]
    for number, part in enumerate(parts):
        run(part, (number + 1, 2))
    assert set(outcomes(parts[0])).isdisjoint(outcomes(parts[1]))
    report = merge(parts[::-1], tmp_path / "merged")
    assert (tmp_path / "merged" / RESULTS).read_bytes() == (
        undisturbed / RESULTS
    ).read_bytes()
    assert report.to_dict() == json.loads((undisturbed / RESULTS).read_text())
    for wrong, message in (
        (parts[:1], "parts 1/2"),
        ([parts[0], parts[0]], "parts 1/2, 1/2"),
        ([parts[0], undisturbed], "parts 1/1, 1/2"),
        ([tmp_path], "must be that of a run"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            merge(wrong, tmp_path / "wrong")
    (parts[1] / RESULTS).unlink()
    with pytest.raises(ValueError, match="must be done; resume it first"):
        merge(parts, tmp_path / "unfinished")
    assert not (tmp_path / "unfinished").exists()


def test_another_configuration_is_refused(undisturbed):
    before = {path: path.read_bytes() for path in undisturbed.glob("*.json")}
    with pytest.raises(
        ValueError, match=r"another configuration.*seed: 0 there, 1 here"
    ):
        run(undisturbed, seed=1)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("error", [None, errno.EPERM, errno.EOPNOTSUPP])
def test_of_two_runs_at_once_one_is_refused(error, tmp_path, monkeypatch):
    """Between its look at the folder and its writing, another run began there.

    Also where the file system has no hard links.
    """
    began = []

    def other():
        began.append(RunFolder(tmp_path / "run", {"seed": 1}))
        began[0].save("a", {"x": np.ones(1)})

    begin_meanwhile(monkeypatch, other, error)
    with pytest.raises(ValueError, match="another configuration.*seed: 1 there, 0 her"):
        RunFolder(tmp_path / "run", {"seed": 0})
    assert began
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == {"seed": 1}


def test_a_run_that_begins_twice_at_once_is_shared(tmp_path, monkeypatch):
    begin_meanwhile(monkeypatch, lambda: RunFolder(tmp_path, {"seed": 0}))
    RunFolder(tmp_path, {"seed": 0}, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_data_that_another_process_made_first_are_taken(tmp_path):
    store = RunFolder(tmp_path, {"seed": 0})

    def slowly():
        assert store.kept("speed.json", lambda: "first") == "first"
        return "second"

    assert store.kept("speed.json", slowly) == "first"


def test_threads_do_not_share_what_is_unfinished(tmp_path):
    path = tmp_path / "a.npz"
    with replaced(path) as one:
        one.write_text("one")
        write(path, lambda file: file.write(b"other"))
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_a_folder_is_not_used_by_mistake(undisturbed, tmp_path):
    config = json.loads((undisturbed / "config.json").read_text())
    with pytest.raises(FileExistsError, match="resume=False"):
        RunFolder(undisturbed, config)
    (tmp_path / ".config.json.17").write_text("of a process that was killed")
    RunFolder(tmp_path, config, resume=True)
    (tmp_path / "config.json").unlink()
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        RunFolder(tmp_path, config, resume=True)
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["precious.txt"]


def test_a_truncated_file_is_named_and_the_rest_kept(undisturbed, tmp_path):
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-r", undisturbed, folder], check=True)
    damaged = folder / "outcomes" / outcomes(folder)[3]
    whole = damaged.read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        damaged.write_bytes(content)
        with pytest.raises(OSError, match=f"{damaged.name} is damaged.*Delete it"):
            run(folder)
    damaged.unlink()
    run(folder)
    assert damaged.read_bytes() == whole
    (folder / "config.json").write_text("{")
    with pytest.raises(OSError, match="config.json is damaged"):
        run(folder)


def test_a_full_disk(tmp_path, monkeypatch):
    """Nothing half-written stays, and what was there is there."""
    store = RunFolder(tmp_path / "run", {"seed": 0})
    store.save("a", {"x": np.ones(3)})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="could not write.*b.npz.*No space.*is kept"):
        store.save("b", {"x": np.ones(3)})
    assert store.keys() == ["a"]
    assert [path.name for path in (tmp_path / "run" / "outcomes").iterdir()] == [
        "a.npz"
    ]
    np.testing.assert_array_equal(store.load("a")["x"], np.ones(3))
