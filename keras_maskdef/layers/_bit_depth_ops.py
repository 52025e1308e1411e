"""Bit depth in `keras.ops`: the values of `kernels.bit_depth`, bit for bit."""

from typing import Any

from keras import ops

from keras_maskdef import _native


def bit_depth(images: Any, bits: int) -> Any:
    """Returns float32 values on `2**bits` levels; see `kernels.bit_depth`.

    Args:
        images: float32 tensor of any shape.
        bits: number of bits a value keeps.

    Returns:
        A tensor of the shape of `images`.
    """
    levels = float(2**bits - 1)
    values = ops.reshape(images, (-1,))
    level = ops.round(values * levels)
    return ops.reshape(level / _divisor(levels, level), ops.shape(images))


def _divisor(levels: float, level: Any) -> Any:
    """Returns `levels`, by a way that no compiler sees through.

    TensorFlow's graphs turn a division by a constant into a multiplication by its
    reciprocal, and XLA one by a scalar; half of the 256 levels of 8 bits are then off
    by their last bit. XLA computes a divisor for every value at no cost, without it
    that would take 1.5 times as long.
    """
    if _native.is_compiled():
        return ops.maximum(levels, ops.minimum(level, 0.0))
    first = level[:1]
    never = ops.logical_and(first > 1.0, first < 0.0)
    return levels + ops.cast(never, "float32")
