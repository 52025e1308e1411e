"""Bit depth in `keras.ops`: the values of `kernels.bit_depth`, bit for bit."""

from typing import Any

from keras import ops

from keras_maskdef.core.exact_arithmetic import exact_quotient


def bit_depth(images: Any, bits: int) -> Any:
    """Returns float32 values on `2**bits` levels; see `kernels.bit_depth`.

    Args:
        images: float32 tensor of any shape.
        bits: number of bits a value keeps.

    Returns:
        A tensor of the shape of `images`.
    """
    levels = float(2**bits - 1)
    return exact_quotient(ops.round(images * levels), levels)
