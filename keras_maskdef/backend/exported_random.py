"""Random numbers in exported models, which nothing seeds after a load.

A saved `SeedGenerator` would continue from the same state after every load, in every
server: an attacker can learn masks that replay. So a mask without a seed gets its
numbers from the machine that runs the model. That is also safe with many threads.
"""

import warnings
from typing import Any

import keras

from keras_maskdef.core.compat import teach_tf2onnx

# A new UUID at each reading, with 122 bits of the kernel's generator.
_KERNEL = "/proc/sys/kernel/random/uuid"
# ONNX stores the seed as a float32.
_EXACT = 2**24


# For a SavedModel, for TensorFlow's other formats, and for PyTorch's formats.
_OPERATIONS = {
    "uniform": ("StatelessRandomUniformV2", "RandomUniform", "rand"),
    "normal": ("StatelessRandomNormalV2", "RandomStandardNormal", "randn"),
}


def exported(
    distribution: str, shape: Any, seed: int | None, draw: int, kind: str
) -> Any:
    """Random float32 numbers for an exported model, or None to use Keras' numbers.

    Args:
        distribution: `"uniform"`, in [0, 1), or `"normal"`, around 0 with deviation 1.
        shape: Integers and scalar tensors.
        seed: The layer's seed.
        draw: The number of the draw within a call, from 0.
        kind: The value of `export_format`.

    Raises:
        ValueError: If there is no suitable generator.
    """
    backend = keras.backend.backend()
    if seed is not None and kind == "saved_model":
        return None
    if backend == "tensorflow":
        return _of_tensorflow(distribution, shape, seed, draw, kind)
    if backend == "torch" and kind == "onnx" and seed is None:
        import torch

        _warn(kind)
        return getattr(torch, _OPERATIONS[distribution][2])(tuple(shape))
    raise ValueError(
        f"`format` must be one that has random numbers, fresh after every load, on the "
        f"{backend} backend, or the layer must have a seed and the format be a "
        "SavedModel. Save the model as .keras; load and export it with "
        f'KERAS_BACKEND=tensorflow. Received: format="{kind}", a layer with seed={seed}'
    )


def _of_tensorflow(
    distribution: str, shape: Any, seed: int | None, draw: int, kind: str
) -> Any:
    import tensorflow as tf

    of_state, of_runtime, _ = _OPERATIONS[distribution]
    sizes = tf.stack([tf.cast(size, tf.int32) for size in shape])
    if kind == "saved_model":
        key, counter = tf.split(_entropy(), [1, 2])
        return getattr(tf.raw_ops, of_state)(
            shape=sizes, key=key, counter=counter, alg=1, dtype=tf.float32
        )
    if kind == "onnx":
        teach_tf2onnx()
    # Two seeds of 0 mean entropy. `tf.random.uniform` would take the seed of
    # `keras.utils.set_random_seed`, and save it.
    seeds = (0, 0) if seed is None else (seed, 1 + (4 * seed + draw) % (_EXACT - 1))
    if seed is None:
        _warn(kind)
    return getattr(tf.raw_ops, of_runtime)(
        shape=sizes, dtype=tf.float32, seed=seeds[0], seed2=seeds[1]
    )


def _warn(kind: str) -> None:
    warnings.warn(
        f'The random numbers of format="{kind}" are fresh, not secret: they come from '
        "the generator of its runtime, which who sees some masks can search "
        "(docs/security.md).",
        stacklevel=2,
    )


def _entropy() -> Any:
    """Three fresh uint64 numbers in each call of a SavedModel.

    They come from the kernel. Without Linux they come from TensorFlow's generator,
    whose seed of 32 bits can be searched. XLA compiles neither: its own numbers would
    be the same after every load.
    """
    import tensorflow as tf

    def of_kernel() -> Any:
        # Not the operation ReadFile: scanners of models warn of it.
        lines = tf.data.TextLineDataset(_KERNEL, buffer_size=64)
        line = lines.take(1).get_single_element()
        hashes = [
            tf.strings.to_hash_bucket_strong(line, tf.int64.max, [number, 0])
            for number in range(3)
        ]
        return tf.stack(hashes)

    def of_tensorflow() -> Any:
        return tf.raw_ops.NonDeterministicInts(shape=tf.constant([3]), dtype=tf.int64)

    there = tf.size(tf.io.matching_files(_KERNEL)) > 0
    return tf.bitcast(tf.cond(there, of_kernel, of_tensorflow), tf.uint64)
