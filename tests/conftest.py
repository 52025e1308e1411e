"""Stops early, with the remedy, where the package is not installed."""

import os

import pytest

# Read by TensorFlow when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

try:
    import keras_maskdef.kernels  # noqa: F401
except ModuleNotFoundError as error:
    pytest.exit(
        f"{error}. The kernels/ folder is mapped into the package by its "
        "installation: run `pip install -e '.[dev]'` first.",
        returncode=4,
    )
