"""Seeds for masks that neither threads nor forked workers share.

`keras.random.SeedGenerator` reads its state and then writes it: threads that call one
model together get the same seeds (370 of 2,000 masks, four threads, TensorFlow), and
the forked workers of a data loader all go on from the state of their parent.
"""

import os
import random
import sys
from collections.abc import Sequence
from threading import Lock
from typing import Any
from weakref import WeakSet

import keras
import numpy as np
from keras import ops

# What TensorFlow's operation adds to a counter for one random number.
_STEP = 256

_lock = Lock()
_generators: WeakSet = WeakSet()


class SharedSeedGenerator(keras.random.SeedGenerator):
    """A `SeedGenerator` whose every seed is given once, with the same seeds in turn.

    On TensorFlow the state is `(256 * count, 0, seed)`, what an atomic operation of its
    own counts up, eagerly, in graphs and under XLA. Elsewhere it is that of Keras, and
    a lock serves for it: only calls that are not compiled share it. On PyTorch the
    seeds are others than Keras', see `_far_apart`.
    """

    state: Any

    def __init__(self, seed: int | None = None) -> None:
        # One name for all, as of `generator_of`: it gets into that of a variable.
        super().__init__(seed, name="shared")
        self._home, self._salt = _home(), 0
        _generators.add(self)
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
        return _far_apart(self._pair(ordered))

    def _pair(self, ordered: bool) -> Any:
        """The seed and its number in turn."""
        with _lock:
            self._settle_in()
            if keras.backend.backend() != "tensorflow":
                return _added(super().next(ordered), self._salt)
        state = self._read_and_skip()
        return _added(ops.stack([state[2], state[0] // _STEP]), self._salt)

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
        """Takes other seeds in another process than the one that made the generator.

        What makes them other comes from Python's generator, which is fresh in a forked
        child, and which PyTorch's `DataLoader` has seeded for each of its workers. It
        is not written into the state: the first call may be one that is compiled, and
        would write the same into it ever after.
        """
        if self._home != _home():
            self._home, self._salt = _home(), random.getrandbits(31)


class GivenSeed(keras.random.SeedGenerator):
    """The seeds of `SharedSeedGenerator(seed)` for a seed that may be a tensor."""

    def __init__(self, seed: Any) -> None:
        self._seed = seed
        self._count = 0

    def next(self, ordered: bool = True) -> Any:
        dtype = "uint32" if keras.backend.backend() == "jax" else "int64"
        pair = [ops.cast(number, dtype) for number in (self._seed, self._count)]
        self._count += 1
        return _far_apart(ops.stack(pair))


def settle(states: Sequence[Any]) -> None:
    """Makes this process the home of generators whose states were set on purpose."""
    chosen = {id(state) for state in states}
    for generator in list(_generators):
        if id(generator.state) in chosen:
            generator._home, generator._salt = _home(), 0


def _added(pair: Any, salt: int) -> Any:
    return pair + ops.convert_to_tensor([salt, 0], pair.dtype) if salt else pair


def _far_apart(pair: Any) -> Any:
    """On PyTorch, seeds that do not become others' when they are counted up.

    There, Keras adds the number to the seed, modulo 2^32: the second draw of seed 5
    would be the first of seed 6. Multiples of an odd number near the golden ratio of
    2^32 lie apart.
    """
    if keras.backend.backend() != "torch":
        return pair
    return ops.cast(pair, "int64") * ops.convert_to_tensor([0x9E3779B1, 1], "int64")


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
