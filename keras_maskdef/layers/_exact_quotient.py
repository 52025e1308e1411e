"""Division that gives the same bits eagerly, in graphs and under XLA."""

from typing import Any

from keras import ops

from keras_maskdef import _native


def exact_quotient(values: Any, divisor: float) -> Any:
    """Returns `values / divisor`, correctly rounded, of a tensor of any shape."""
    flat = ops.reshape(values, (-1,))
    return ops.reshape(flat / _unseen(divisor, flat), ops.shape(values))


def _unseen(divisor: float, values: Any) -> Any:
    """Returns `divisor`, by a way that no compiler sees through.

    TensorFlow's graphs turn a division by a constant into a multiplication by its
    reciprocal, and XLA one by a scalar; half of the 256 levels of 8 bits are then off
    by their last bit. XLA computes a divisor for every value at no cost, without it
    that would take 1.5 times as long.
    """
    if _native.is_compiled():
        return ops.maximum(divisor, ops.minimum(values, 0.0))
    first = values[:1]
    never = ops.logical_and(first > 1.0, first < 0.0)
    return divisor + ops.cast(never, values.dtype)
