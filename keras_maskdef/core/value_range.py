"""Value ranges of images, and conversion to [0, 1] and back.

Filters, maskers and attacks are defined on [0, 1]. For a model that takes another range
they have the argument `value_range`, as Keras' preprocessing layers do.
"""

from typing import Any

import keras
import numpy as np

from keras_maskdef.core.arguments import as_numbers
from keras_maskdef.core.exact_arithmetic import exact_mixture, exact_quotient

ValueRange = tuple[float, float]
UNIT: ValueRange = (0.0, 1.0)


def check_value_range(value: Any) -> ValueRange:
    """Returns two finite numbers, the lower first, or raises ValueError."""
    pair = as_numbers(value)
    if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] < pair[1]:
        raise ValueError(
            "`value_range` must be the lowest and the highest value of the images, "
            f"such as (0, 255). Received: value_range={value!r}"
        )
    return float(pair[0]), float(pair[1])


def span(value_range: ValueRange) -> float:
    """Width of the range, the factor of epsilons and step sizes of attacks."""
    return value_range[1] - value_range[0]


def to_unit(images: Any, value_range: ValueRange) -> Any:
    """Scales images to [0, 1] by a true division: 255ths round-trip exactly.

    Args:
        images: Tensor or NumPy array, floating point. The values of an array must be in
            the range, and rounding errors are clipped to [0, 1]; a tensor may hold any
            values.
        value_range: Their lowest and highest value.

    Returns:
        A tensor or an array, like `images`; `images` itself if the range is [0, 1].
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

    The result is a mixture of the two, as `low + span * images` can round above the
    highest. Tensors give the same bits eagerly, in graphs and under XLA.

    Args:
        images: Tensor or NumPy array, floating point; an array must be in [0, 1].
        value_range: The lowest and the highest value of the result.

    Returns:
        A tensor or an array, like `images`; an array is within the range.
    """
    if value_range == UNIT:
        return images
    low, high = value_range
    if isinstance(images, np.ndarray):
        # For narrow ranges far from 0 a mixture can be off by its last bit.
        return np.clip(low * (1.0 - images) + high * images, low, high)
    return exact_mixture(images, low, high) if low else high * images
