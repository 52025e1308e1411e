"""Attacks, evaluations and proofs on JAX and PyTorch, against TensorFlow's."""

import importlib.util
import os
import subprocess
import sys

import attacks_on_backend
import keras
import numpy as np
import pytest


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return written(tmp_path_factory, attacks_on_backend.quick_results())


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return written(tmp_path_factory, attacks_on_backend.results())


def written(tmp_path_factory, results):
    assert keras.backend.backend() == "tensorflow"
    path = tmp_path_factory.mktemp("tensorflow") / "results.npz"
    np.savez(path, **results)
    return path


def run(backend, path, which):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    finished = subprocess.run(
        [sys.executable, attacks_on_backend.__file__, path, which],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_attacks(backend, quick):
    run(backend, quick, "quick")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_evaluations_and_proofs(backend, every):
    """And the attacks that take JAX a minute to compile."""
    run(backend, every, "all")
