"""Random numbers from a `SharedSeedGenerator`, as secret as the generator.

Keras' own numbers are so on TensorFlow and JAX. On PyTorch Keras seeds a generator with
32 bits, which can be searched. An exported model has other sources.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_maskdef.backend.exported_random import exported
from keras_maskdef.backend.seed_generators import (
    GivenPair,
    SharedSeedGenerator,
    philox_of_numpy,
)
from keras_maskdef.core.export_format import export_format


def uniform(shape: Any, seed: keras.random.SeedGenerator, draw: int = 0) -> Any:
    """float32 numbers in [0, 1); `draw` is the number of the draw within a call."""
    numbers = _exported("uniform", shape, seed, draw)
    if numbers is not None:
        return numbers
    generator, seed = _split(seed)
    if generator is None:
        return keras.random.uniform(shape, dtype="float32", seed=seed)
    return ops.convert_to_tensor(generator.random(shape, np.float32))


def normal(
    shape: Any, stddev: float, dtype: str, seed: keras.random.SeedGenerator
) -> Any:
    """Numbers of a normal distribution around 0."""
    numbers = _exported("normal", shape, seed)
    if numbers is not None:
        return ops.cast(numbers * stddev, dtype)
    generator, seed = _split(seed)
    if generator is None:
        return keras.random.normal(shape, stddev=stddev, dtype=dtype, seed=seed)
    drawn = generator.standard_normal(shape, np.float32)
    return ops.convert_to_tensor(drawn * np.float32(stddev), dtype)


def _exported(distribution: str, shape: Any, seed: Any, draw: int = 0) -> Any:
    kind = export_format() if isinstance(seed, SharedSeedGenerator) else None
    return kind and exported(distribution, shape, seed.seed, draw, kind)


def _split(seed: Any) -> tuple[np.random.Generator | None, Any]:
    """A NumPy generator if only that is secret, else a seed for Keras."""
    if keras.backend.backend() != "torch" or not isinstance(seed, SharedSeedGenerator):
        return None, seed
    if ops.zeros(()).device.type == "meta":  # Keras needs the shape alone
        return None, seed
    pair, key = seed.take()
    return philox_of_numpy(pair, key), GivenPair(pair)
