"""Seeds for masks that neither threads nor forked workers share.

`keras.random.SeedGenerator` reads its state and then writes it: threads that call one
model together get the same seeds (370 of 2,000 masks, four threads, TensorFlow), and
the forked workers of a data loader all go on from the state of their parent.
"""

import os
import random
import sys
from threading import Lock
from typing import Any

import keras
import numpy as np
from keras import ops

# What TensorFlow's operation adds to a counter for one random number.
_STEP = 256

_lock = Lock()


class SharedSeedGenerator(keras.random.SeedGenerator):
    """A `SeedGenerator` whose every seed is given once, with the same seeds in turn.

    On TensorFlow the state is `(256 * count, 0, seed)`, what an atomic operation of its
    own counts up, eagerly, in graphs and under XLA. Elsewhere it is that of Keras, and
    a lock serves for it: only calls that are not compiled share it.
    """

    state: Any

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self._home = _home()
        if keras.backend.backend() == "tensorflow":
            first, second = ops.convert_to_numpy(self.state.value)
            self.state = keras.Variable(
                as_state(first, second),
                dtype=self.state.dtype,
                trainable=False,
                aggregation="none",
                name="seed_generator_state",
            )

    def next(self, ordered: bool = True) -> Any:
        with _lock:
            self._settle_in()
            if keras.backend.backend() != "tensorflow":
                return super().next(ordered)
        state = self._read_and_skip()
        return ops.stack([state[2], state[0] // _STEP])

    def _read_and_skip(self) -> Any:
        import tensorflow as tf

        state = self.state.value
        # Not so within a scope of Keras that keeps values outside their variables.
        in_place = isinstance(state, tf.Variable)
        if in_place and not isinstance(state, tf.distribute.DistributedValues):
            return tf.raw_ops.RngReadAndSkip(
                resource=state.handle, alg=1, delta=tf.constant(1, tf.uint64)
            )
        before = tf.identity(state)
        self.state.assign(before + tf.constant([_STEP, 0, 0], before.dtype))
        return before

    def _settle_in(self) -> None:
        """Takes new seeds in another process than the one that made the generator.

        They come from Python's generator, which is fresh in a forked child, and which
        PyTorch's `DataLoader` has seeded for each of its workers.
        """
        if self._home == _home():
            return
        self._home = _home()
        seed = random.getrandbits(31)
        if self._initial_seed is not None:
            seed = (seed + self._initial_seed) % 2**31
        if keras.backend.backend() == "tensorflow":
            self.state.assign(as_state(seed, 0))
        else:
            self.state.assign(np.array([seed, 0], self.state.dtype))


class GivenSeed(keras.random.SeedGenerator):
    """The seeds of `SeedGenerator(seed)` for a seed that may be a tensor."""

    def __init__(self, seed: Any) -> None:
        self._seed = seed
        self._count = 0

    def next(self, ordered: bool = True) -> Any:
        dtype = "uint32" if keras.backend.backend() == "jax" else "int64"
        pair = [ops.cast(number, dtype) for number in (self._seed, self._count)]
        self._count += 1
        return ops.stack(pair)


def as_state(first: Any, second: Any) -> np.ndarray:
    """The state on TensorFlow from which the next seed is `(first, second)`."""
    return np.array([int(second) * _STEP, 0, int(first)], "int64")


def _home() -> tuple[int, Any]:
    """The process, and the seed of the worker of a `DataLoader` that it may be."""
    data = sys.modules.get("torch.utils.data")
    worker = data and data.get_worker_info()
    return os.getpid(), worker and worker.seed


def _forget_lock() -> None:
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
