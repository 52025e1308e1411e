"""Randomness that depends on the piece of work, not on earlier work."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_maskdef.backend.seed_generators import as_state, kept_homes, settle

_STATE = "seed_generator_state"


def seed_of(seed: int, *names: Any) -> int:
    """A seed of 31 bits for a piece of work with these names."""
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def generator_of(seed: int) -> keras.random.SeedGenerator:
    """A generator for one use.

    All have one name: TensorFlow keeps a kernel of 35 KiB for each name that a variable
    ever had, and Keras numbers the names of its generators.
    """
    return keras.random.SeedGenerator(seed, name="once")


def reseed(models: Sequence[Any], seed: int) -> None:
    """Sets the random state of all layers of the models."""
    generator = np.random.default_rng(seed)
    states = _states(models)
    settle(states)
    for variable in states:
        pair = generator.integers(2**31, size=2)
        fresh = pair if tuple(variable.shape) == (2,) else as_state(*pair)
        variable.assign(fresh.astype(variable.dtype))


@contextmanager
def kept_seeds(models: Sequence[Any]) -> Iterator[None]:
    """Restores the models' random states in the end, so that no masks replay."""
    states = _states(models)
    values = [keras.ops.convert_to_numpy(variable.value) for variable in states]
    with kept_homes(states):
        try:
            yield
        finally:
            for variable, value in zip(states, values, strict=True):
                variable.assign(value)


def _states(models: Sequence[Any]) -> list[Any]:
    """Each random state once, in the order of the layers."""
    by_id = {
        id(variable): variable
        for model in models
        for variable in getattr(model, "variables", ())
        if variable.name == _STATE
    }
    return list(by_id.values())
