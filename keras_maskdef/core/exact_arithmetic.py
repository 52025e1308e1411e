"""Arithmetic that gives the same bits eagerly, in graphs and under XLA."""

from typing import Any

import numpy as np
from keras import ops

from keras_maskdef.core.compat import is_compiled

_LOWEST = float(np.finfo("float32").min)


def exact_quotient(values: Any, divisor: float) -> Any:
    """Returns `values / divisor`, correctly rounded, of a tensor of any shape."""
    flat = ops.reshape(values, (-1,))
    return ops.reshape(flat / _unseen(divisor, flat), ops.shape(values))


def exact_mixture(share: Any, low: float, high: float) -> Any:
    """Returns `low * (1 - share) + high * share`, each operation rounded separately.

    XLA fuses a product and a sum into one operation, unless an operation that it cannot
    simplify is between them.
    """
    products = low * (1.0 - share), high * share
    if is_compiled():
        never = ops.minimum(share, _LOWEST)
        products = ops.maximum(products[0], never), ops.maximum(products[1], never)
    return products[0] + products[1]


def _unseen(divisor: float, values: Any) -> Any:
    """Returns `divisor`, computed so that no compiler recognizes a constant.

    TensorFlow's graphs replace division by a constant, and XLA division by a scalar, by
    multiplication with the reciprocal; half of the 256 levels of 8 bits are then off by
    their last bit. XLA computes a divisor for every value at no cost; without XLA that
    would take 1.5 times as long.
    """
    if is_compiled():
        return ops.maximum(divisor, ops.minimum(values, 0.0))
    first = values[:1]
    never = ops.logical_and(first > 1.0, first < 0.0)
    return divisor + ops.cast(never, values.dtype)
