"""Random numbers in exported models, which have nobody to seed them.

A saved `SeedGenerator` would go on from the same state after every load, in every
server: masks that replay can be learned. So a mask without a seed gets its numbers
from the runtime's own generator, which also is safe to call from many threads.
"""

from functools import cache
from typing import Any

import keras

# ONNX has the seed as a float32.
_EXACT = 2**24


def exported_uniform(shape: tuple, seed: int | None, draw: int, kind: str) -> Any:
    """Uniform numbers in [0, 1) for an exported model, or None for those of Keras.

    Args:
        shape: Integers and scalar tensors.
        seed: The layer's.
        draw: The number of the draw within a call, from 0.
        kind: What `export_format` says.

    Raises:
        ValueError: Where there is no generator that would do.
    """
    backend = keras.backend.backend()
    if seed is not None and kind == "saved_model":
        return None
    if backend == "tensorflow":
        return _of_tensorflow(shape, seed, draw, kind)
    if backend == "torch" and kind == "onnx" and seed is None:
        import torch

        return torch.rand(shape)
    raise ValueError(
        f"`format` must be one that has random numbers, fresh after every load, on the "
        f"{backend} backend, or the mask must have a seed and the format be a "
        "SavedModel. Save the model as .keras; load and export it with "
        f'KERAS_BACKEND=tensorflow. Received: format="{kind}", a mask with seed={seed}'
    )


def _of_tensorflow(shape: tuple, seed: int | None, draw: int, kind: str) -> Any:
    import tensorflow as tf

    sizes = tf.stack([tf.cast(size, tf.int32) for size in shape])
    if kind == "saved_model":
        # Not the operation below: XLA compiles it, but to the same numbers after every
        # load. This one it refuses.
        fresh = tf.raw_ops.NonDeterministicInts(shape=tf.constant([2]), dtype=tf.int64)
        return tf.random.stateless_uniform(sizes, seed=fresh)
    if kind == "onnx":
        _teach_tf2onnx()
    # Both seeds 0 stand for entropy. `tf.random.uniform` would take that of
    # `keras.utils.set_random_seed`, and save it.
    seeds = (0, 0) if seed is None else (seed, 1 + (4 * seed + draw) % (_EXACT - 1))
    return tf.raw_ops.RandomUniform(
        shape=sizes,
        dtype=tf.float32,
        seed=seeds[0],
        seed2=seeds[1],
    )


@cache
def _teach_tf2onnx() -> None:
    """Entropy for operations without a seed: tf2onnx 1.17 writes seed 0 into them."""
    from tf2onnx.handler import tf_op
    from tf2onnx.onnx_opset.generator import RandomOp

    def without_seed(version: Any) -> Any:
        def convert(cls: Any, ctx: Any, node: Any, **kwargs: Any) -> None:
            seeded = any(node.get_attr_value(name, 0) for name in ("seed", "seed2"))
            version(ctx, node, **kwargs)
            if not seeded:
                del node.attr["seed"]

        return classmethod(convert)

    versions = {
        f"version_{number}": without_seed(getattr(RandomOp, f"version_{number}"))
        for number in (1, 9)
    }
    tf_op("RandomUniform")(type("RandomUniform", (), versions))
