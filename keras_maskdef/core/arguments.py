"""Argument checks that the layers share."""

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_maskdef.core.image_shape import channels

# The integers that the states of Keras' seed generators can hold.
_SEEDS = {
    "tensorflow": (-(2**63), 2**63 - 1),
    "jax": (0, 2**32 - 1),
    "torch": (-(2**31), 2**31 - 1),
}


def check_positive_int(name: str, value: Any) -> int:
    return check_int(name, value, 1)


def check_int(name: str, value: Any, lowest: int, highest: int | None = None) -> int:
    integer = _as_integer(value)
    if integer is not None and lowest <= integer:
        if highest is None or integer <= highest:
            return integer
    span = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
    raise ValueError(f"`{name}` must be an integer {span}. Received: {name}={value!r}")


def check_odd_int(name: str, value: Any, highest: int) -> int:
    odd = check_int(name, value, 1, highest)
    if odd % 2 == 0:
        raise ValueError(f"`{name}` must be odd. Received: {name}={value!r}")
    return odd


def check_seed(name: str, value: Any) -> int | None:
    """Returns None, or an integer that the backend's generators can hold."""
    if value is None:
        return None
    if _as_integer(value) is None:
        raise ValueError(
            f"`{name}` must be an integer or None. Received: {name}={value!r}"
        )
    return check_int(name, value, *_SEEDS[keras.backend.backend()])


def check_positive(name: str, value: Any) -> float:
    number = as_number(value)
    if not 0.0 < number < math.inf:
        raise ValueError(
            f"`{name}` must be a finite number above 0. Received: {name}={value!r}"
        )
    return number


def check_not_negative(name: str, value: Any) -> float:
    number = as_number(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(
            f"`{name}` must be a finite number of at least 0. "
            f"Received: {name}={value!r}"
        )
    return number


def check_fraction(name: str, value: Any) -> float:
    number = as_number(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(
            f"`{name}` must be a number in [0, 1]. Received: {name}={value!r}"
        )
    return number


def as_number(value: Any) -> float:
    """A real number of Python or NumPy as a float; NaN for anything else."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    numbers = as_numbers(value)
    return math.nan if numbers.ndim else float(numbers)


def as_numbers(value: Any) -> NDArray[np.float64]:
    """A number, or nested sequences of numbers, as an array; NaN for anything else."""
    try:
        numbers = np.asarray(value)
    except (TypeError, ValueError):
        numbers = np.asarray("no numbers")
    numeric = numbers.dtype.kind in "iuf"
    return numbers.astype("float64") if numeric else np.asarray(math.nan)


def _as_integer(value: Any) -> int | None:
    if isinstance(value, (bool, np.bool_)):  # NumPy 2.1 accepts its own as indices
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"`{name}` must be one of {expected}. Received: {name}={value!r}"
        )
    return value


def as_array(name: str, images: Any) -> np.ndarray:
    """Images as a NumPy array; an array is returned as it is."""
    if isinstance(images, np.ndarray):
        return images
    if not isinstance(images, (tuple, list)) and not hasattr(images, "shape"):
        raise TypeError(
            f"`{name}` must be an array of images. "
            f"Received: {name} of type {type(images).__name__}"
        )
    return keras.ops.convert_to_numpy(images)


def check_images(images: Any) -> None:
    """Checks for four axes, or three for a single image, and floating point."""
    shape = known_shape(images)
    if len(shape) not in (3, 4):
        raise ValueError(
            "`images` must have four axes (a batch of images) or three (one image). "
            f"Received: images.shape={shape}"
        )
    dtype = keras.backend.standardize_dtype(images.dtype)
    if "float" not in dtype:
        raise TypeError(
            "`images` must be floating point; convert integer images first, for "
            "example with `keras.layers.Rescaling(1 / 255)`. "
            f"Received: images.dtype={dtype}"
        )


def check_channels(images: Any, data_format: str) -> int:
    """Number of channels, which must be known in a graph."""
    shape = known_shape(images)
    depth = channels(shape, data_format)
    if depth is None:
        raise ValueError(
            "`images` must have a known number of channels: decode them with "
            "`channels=3`, or say `images.set_shape((None, None, 3))`. "
            f"Received: images.shape={shape}, data_format={data_format!r}"
        )
    return depth


def known_shape(images: Any) -> tuple:
    """The shape of a tensor or an array; raises if its rank is unknown."""
    shape = getattr(images, "shape", None)
    if shape is None:
        raise TypeError(
            "`images` must be a tensor or an array. "
            f"Received: images of type {type(images).__name__}"
        )
    if getattr(shape, "rank", 0) is None:
        raise ValueError(
            "`images` must have a known number of axes: call `tf.io.decode_image` with "
            "`expand_animations=False`, or say `images.set_shape((None, None, 3))`. "
            f"Received: images.shape={shape}"
        )
    return tuple(shape)


def ensured(
    images: Any,
    conditions: Iterable[Any],
    problem: str,
    received: Mapping[str, Any],
) -> Any:
    """Returns the images, or raises if a condition does not hold.

    Known sizes are checked at once. A TensorFlow graph checks the others whenever it
    runs, also after an export: its error names the problem. Without assertions (under
    XLA, as ONNX or LiteRT) a reshape that is named after the problem fails instead.

    Args:
        images: Tensor or array.
        conditions: Booleans, boolean tensors, or None if nothing is known.
        problem: The argument, and what was expected of it.
        received: Numbers and shapes from `sizes_of`, by name.

    Raises:
        ValueError: For a condition that is known not to hold.
    """
    unknown = []
    for condition in conditions:
        if keras.ops.is_tensor(condition):
            unknown.append(condition)
        elif condition is not None and not condition:
            values = [f"{name}={known(value)}" for name, value in received.items()]
            raise ValueError(f"{problem} Received: {', '.join(values)}")
    return _ensured_in_graph(images, unknown, problem, received) if unknown else images


def sizes_of(images: Any) -> tuple:
    """The shape: integers, and scalar tensors for sizes that a graph does not know.

    Those are None if there is no graph yet.
    """
    shape = tuple(images.shape)
    return tuple(keras.ops.shape(images)) if None in shape else shape


def at_least(size: Any, least: int) -> Any:
    """A condition for `ensured`, on sizes from `sizes_of`."""
    return None if size is None else size >= least


def as_many(size: Any, other: Any) -> Any:
    """A condition for `ensured`, on sizes from `sizes_of`."""
    return None if size is None or other is None else size == other


def _ensured_in_graph(
    images: Any, conditions: list[Any], problem: str, received: Mapping[str, Any]
) -> Any:
    import tensorflow as tf

    fine = tf.reduce_all(tf.stack(conditions))
    data: list[Any] = [f"{problem} Received:"]
    for name, value in received.items():
        shape = isinstance(value, tuple)
        data += [f"{name}=", tf.stack(value)] if shape else [f"{name}={value}"]
    with tf.control_dependencies([tf.debugging.Assert(fine, data, 9)]):
        sizes = tf.where(fine, tf.shape(images), -2)
    name = re.sub(r"\W+", "_", problem).strip("_")
    same = tf.reshape(images, sizes, name)
    same.set_shape(images.shape)
    return same


def known(value: Any) -> Any:
    """The part of a size or shape that is known before the graph runs, else None."""
    if isinstance(value, tuple):
        return tuple(known(part) for part in value)
    return None if keras.ops.is_tensor(value) else value
