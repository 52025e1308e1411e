"""Seeds for masks that are never shared and cannot be predicted.

`keras.random.SeedGenerator` reads its state and then writes it: threads that call one
model together get the same seeds (370 of 2,000 masks, four threads, TensorFlow), and
the forked workers of a data loader all continue from their parent's state. Without a
seed it takes one of 10^9, which a few visible masks reveal in seconds.
"""

import os
import random
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any
from weakref import WeakSet

import keras
import numpy as np
from keras import ops

from keras_maskdef.core.compat import get_random_seed

# What TensorFlow's operation adds to a counter for one random number.
_STEP = 256
_WORD = 2**32 - 1

_lock = Lock()
_generators: WeakSet = WeakSet()


class SharedSeedGenerator(keras.random.SeedGenerator):
    """A `SeedGenerator` that gives each seed once, and secret ones without a `seed`.

    The state holds a seed, the number of seeds given, and a key of 64 bits. Without a
    key it gives Keras' seeds in turn. With a key, a block cipher encrypts them: Philox
    on TensorFlow and PyTorch, Threefry on JAX. The key comes from `secrets` if neither
    a seed nor `keras.utils.set_random_seed` was given.

    On TensorFlow the state is `(256 * count, key, seed)`; an atomic operation counts up
    its first number, eagerly, in graphs and under XLA. Elsewhere it is `(seed, count,
    key, key >> 32)`, under a lock: only calls that are not compiled share it. On
    PyTorch the seeds differ from Keras', see `_far_apart`.
    """

    state: Any

    def __init__(self, seed: int | None = None) -> None:
        # One name for all, as in `generator_of`: it becomes part of a variable's name.
        super().__init__(seed, name="shared")
        self.seed = seed
        self._is_seeded = seed is not None or get_random_seed() is not None
        self._home, self._salt = _home(), 0
        _generators.add(self)
        words = ops.convert_to_numpy(self.state.value)
        if not self._is_seeded:
            words = secrets.randbits(31), 0, secrets.randbits(64)
        self.state = keras.Variable(
            as_state(*words).astype(self.state.dtype),
            dtype=self.state.dtype,
            trainable=False,
            aggregation="none",
            name="seed_generator_state",
        )

    def next(self, ordered: bool = True) -> Any:
        pair, key = self.take()
        if keras.backend.backend() == "tensorflow":
            # Compiled functions hang in a forked child, which has a salt.
            return (_philox if self._salt else _compiled_philox())(pair, key)
        if keras.backend.backend() == "jax":
            return _compiled_threefry()(pair, key)
        generator = philox_of_numpy(pair, key)
        if generator is None:
            return pair
        return ops.convert_to_tensor(generator.integers(2**31, size=2), "int64")

    def take(self) -> tuple[Any, Any]:
        """The seed with the next number, and the key, which is 0 for none."""
        pair, key = self._pair()
        return _far_apart(pair), key

    def _pair(self) -> tuple[Any, Any]:
        with _lock:
            self._settle_in()
            if keras.backend.backend() != "tensorflow":
                state = self.state.value * 1
                counted = np.array([0, 1, 0, 0], self.state.dtype)
                self.state.assign(state + ops.convert_to_tensor(counted))
                return state[:2], self._salted(state[2:], slice(2, 4))
        state = self._read_and_skip()
        pair = ops.stack([state[2], state[0] // _STEP])
        return pair, self._salted(state[1], 1)

    def _salted(self, key: Any, where: Any) -> Any:
        """The key; in another process than the state's, a different one."""
        if not self._salt:
            return key
        salt = as_state(0, 0, self._salt).astype(self.state.dtype)[where]
        return ops.bitwise_xor(key, ops.convert_to_tensor(salt, key.dtype))

    def _read_and_skip(self) -> Any:
        import tensorflow as tf

        state = self.state.value
        # False within a scope of Keras that keeps values outside their variables.
        in_place = isinstance(state, tf.Variable)
        if in_place and not isinstance(state, tf.distribute.DistributedValues):
            return tf.raw_ops.RngReadAndSkip(
                resource=state.handle, alg=1, delta=tf.constant(1, tf.uint64)
            )
        before = tf.identity(state)
        self.state.assign(before + tf.constant([_STEP, 0, 0], before.dtype))
        return before

    def _settle_in(self) -> None:
        """Takes another key in another process than the one that made the generator.

        The key is secret, except for a generator with a seed in a worker of PyTorch's
        `DataLoader`, which has a seed as well. It is not written into the state: the
        first call may be compiled, and then every call would write the same key.
        """
        home = _home()
        if self._home == home:
            return
        self._home, self._salt = home, secrets.randbits(64)
        if self._is_seeded and home[1] is not None:
            self._salt = random.Random(home[1]).getrandbits(64)


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


class GivenPair(keras.random.SeedGenerator):
    """Gives a seed that was taken before."""

    def __init__(self, pair: Any) -> None:
        self._pair = pair

    def next(self, ordered: bool = True) -> Any:
        return self._pair


def settle(states: Sequence[Any]) -> None:
    """Makes this process the home of generators whose states were set on purpose."""
    for generator in _generators_of(states):
        generator._home, generator._salt = _home(), 0


@contextmanager
def kept_homes(states: Sequence[Any]) -> Iterator[None]:
    """Restores the home and the salt of the generators of these states in the end.

    Without them, forked children would all draw as their parent does.
    """
    homes = [(g, g._home, g._salt) for g in _generators_of(states)]
    try:
        yield
    finally:
        for generator, home, salt in homes:
            generator._home, generator._salt = home, salt


def _generators_of(states: Sequence[Any]) -> list[SharedSeedGenerator]:
    chosen = {id(state) for state in states}
    return [g for g in list(_generators) if id(g.state) in chosen]


def as_state(first: Any, second: Any = 0, key: int = 0) -> np.ndarray:
    """The state from which the next seed is `(first, second)` under a key."""
    if keras.backend.backend() == "tensorflow":
        signed = key - 2**64 if key >= 2**63 else key
        return np.array([int(second) * _STEP, signed, int(first)], "int64")
    words = [int(first), int(second), key & _WORD, key >> 32]
    return np.array([word & _WORD for word in words], "uint32")


def _philox(pair: Any, key: Any) -> Any:
    import tensorflow as tf

    # As Keras does before it draws. The key takes what is lost of the count, after
    # which masks would repeat.
    most = tf.int32.max - 1
    seed = tf.cast(tf.math.floormod(pair, most), tf.int32)
    rounds = tf.bitwise.bitwise_xor(key, pair[1] // most)
    seed_key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    drawn = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[2],
        key=tf.bitwise.bitwise_xor(seed_key, tf.bitcast(rounds, tf.uint64)),
        counter=counter,
        alg=1,
        dtype=tf.int64,
    )
    return tf.where(tf.equal(key, 0), pair, drawn)


# In eager operations a seed took 2.8 times as long as without a key on TensorFlow and
# 7.8 times on JAX; compiled, 1.5 and 2 times.
@cache
def _compiled_philox() -> Any:
    import tensorflow as tf

    return tf.function(_philox, autograph=False)


@cache
def _compiled_threefry() -> Any:
    import jax

    def keyed(pair: Any, key: Any) -> Any:
        drawn = jax.random.fold_in(jax.random.fold_in(key, pair[0]), pair[1])
        return jax.numpy.where(jax.numpy.any(key != 0), drawn, pair)

    return jax.jit(keyed)


def philox_of_numpy(pair: Any, key: Any) -> np.random.Generator | None:
    """A NumPy generator for what `take` gave on PyTorch, or None without a key."""
    first, second, low, high = (
        int(word) for word in (*ops.convert_to_numpy(pair), *ops.convert_to_numpy(key))
    )
    if not (low or high):
        return None
    words = (high & _WORD) << 32 | low & _WORD, (first & _WORD) << 32 | second & _WORD
    return np.random.Generator(np.random.Philox(key=np.array(words, "uint64")))


def _far_apart(pair: Any) -> Any:
    """Spreads seeds on PyTorch, so that counting up one does not give another.

    There, Keras adds the number to the seed, modulo 2^32: the second draw of seed 5
    would be the first of seed 6. Multiples of an odd number near the golden ratio of
    2^32 lie apart.
    """
    if keras.backend.backend() != "torch":
        return pair
    return ops.cast(pair, "int64") * ops.convert_to_tensor([0x9E3779B1, 1], "int64")


def _home() -> tuple[int, Any]:
    """The process, and its seed if it is a worker of a `DataLoader`."""
    data = sys.modules.get("torch.utils.data")
    worker = data and data.get_worker_info()
    return os.getpid(), worker and worker.seed


def _forget_lock() -> None:
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
