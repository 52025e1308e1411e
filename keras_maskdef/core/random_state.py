"""Restores the global random generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Keeps a `fit` inside another `fit` from changing how the outer one shuffles.

    `fit` shuffles with the generators of Python and NumPy. PyTorch's loader draws a
    seed from PyTorch's generator even if it does not shuffle.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch_state = None
    if keras.backend.backend() == "torch":
        import torch

        torch_state = torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch_state is not None:
            torch.set_rng_state(torch_state)
