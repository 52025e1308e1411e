"""Bit depth in `keras.ops`: the values of `kernels.bit_depth`, bit for bit."""

from typing import Any

from keras import ops


def bit_depth(images: Any, bits: int) -> Any:
    """Returns float32 values on `2**bits` levels; see `kernels.bit_depth`."""
    levels = float(2**bits - 1)
    level = ops.round(images * levels)
    # Always `levels`, which neither TensorFlow's graphs nor XLA can see. They turn a
    # division by a constant into a multiplication, and with 8 bits every fifth level
    # is then off by its last bit.
    divisor = ops.maximum(levels, ops.minimum(level, 0.0))
    return level / divisor
