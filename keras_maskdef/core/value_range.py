"""The range of images, and the way to [0, 1] and back.

Filters, maskers and attacks are defined on [0, 1]. Where a model takes another range,
what depends on it is told by `value_range`, as in Keras' own preprocessing layers.
"""

from typing import Any

import keras
import numpy as np

from keras_maskdef.core.arguments import as_numbers
from keras_maskdef.core.exact_arithmetic import exact_mixture, exact_quotient

ValueRange = tuple[float, float]
UNIT: ValueRange = (0.0, 1.0)


def check_value_range(value: Any) -> ValueRange:
    """Two finite numbers, the lower first."""
    pair = as_numbers(value)
    if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] < pair[1]:
        raise ValueError(
            "`value_range` must be the lowest and the highest value of the images, "
            f"such as (0, 255). Received: value_range={value!r}"
        )
    return float(pair[0]), float(pair[1])


def span(value_range: ValueRange) -> float:
    """How many of the images' units 1 is, for sizes and steps of attacks."""
    return value_range[1] - value_range[0]


def to_unit(images: Any, value_range: ValueRange) -> Any:
    """Images in [0, 1], by a true division: 255ths come back as the same integers.

    Args:
        images: Tensor or NumPy array, floating point. An array holds images of the
            range, and what rounding would put outside of [0, 1] is put on its end; the
            values of a tensor may be any.
        value_range: Their lowest and highest value.

    Returns:
        A tensor or an array, as `images` is; `images` itself where they are in [0, 1].
    """
    if value_range == UNIT:
        return images
    shifted = images - value_range[0] if value_range[0] else images
    if keras.ops.is_tensor(shifted):
        return exact_quotient(shifted, span(value_range))
    unit = shifted / span(value_range)
    return np.clip(unit, 0.0, 1.0) if isinstance(unit, np.ndarray) else unit


def from_unit(images: Any, value_range: ValueRange) -> Any:
    """The inverse of `to_unit`; 0 becomes the lowest value and 1 the highest.

    They are mixed, as `low + span * images` can round to more than the highest. Of
    tensors the bits are the same eagerly, in graphs and under XLA.

    Args:
        images: Tensor or NumPy array, floating point; an array in [0, 1].
        value_range: The lowest and the highest value to come.

    Returns:
        A tensor or an array, as `images` is; an array within the range.
    """
    if value_range == UNIT:
        return images
    low, high = value_range
    if isinstance(images, np.ndarray):
        # Of narrow ranges far from 0 a mixture can be off by its last bit.
        return np.clip(low * (1.0 - images) + high * images, low, high)
    return exact_mixture(images, low, high) if low else high * images
