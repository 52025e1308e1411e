"""Bit depth in `keras.ops`: the values of `kernels.bit_depth`, bit for bit."""

from typing import Any

from keras import ops


def bit_depth(images: Any, bits: int) -> Any:
    """Returns float32 values on `2**bits` levels; see `kernels.bit_depth`.

    TensorFlow's graphs and XLA turn a division by a constant into a multiplication by
    its reciprocal, and half of the 256 levels of 8 bits are then off by their last
    bit. So the divisor must not look like a constant: it has a term that depends on a
    pixel and is always zero.

    Args:
        images: float32 tensor of any shape.
        bits: number of bits a value keeps.

    Returns:
        A tensor of the shape of `images`.
    """
    levels = float(2**bits - 1)
    values = ops.reshape(images, (-1,))
    first = values[:1]
    never = ops.logical_and(first > 1.0, first < 0.0)
    divisor = levels + ops.cast(never, "float32")
    rounded = ops.round(values * levels) / divisor
    return ops.reshape(rounded, ops.shape(images))
