"""Argument checks that the layers share."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras


def check_positive_int(name: str, value: Any) -> int:
    return check_int(name, value, 1)


def check_int(name: str, value: Any, lowest: int, highest: int | None = None) -> int:
    integer = hasattr(value, "__index__") and not isinstance(value, bool)
    if integer and lowest <= value and (highest is None or value <= highest):
        return int(value)
    span = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
    raise ValueError(f"`{name}` must be an integer {span}. Received: {name}={value!r}")


def check_odd_int(name: str, value: Any, highest: int) -> int:
    if check_int(name, value, 1, highest) % 2 == 0:
        raise ValueError(f"`{name}` must be odd. Received: {name}={value!r}")
    return int(value)


def check_positive(name: str, value: Any) -> float:
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    if not numeric or not 0.0 < value < math.inf:
        raise ValueError(
            f"`{name}` must be a finite number above 0. Received: {name}={value!r}"
        )
    return float(value)


def check_not_negative(name: str, value: Any) -> float:
    numeric = isinstance(value, Real) and not isinstance(value, bool)
    if not numeric or not 0.0 <= value < math.inf:
        raise ValueError(
            f"`{name}` must be a finite number of at least 0. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def check_fraction(name: str, value: Any) -> float:
    try:
        fraction = float(value)
    except (TypeError, ValueError):
        fraction = float("nan")
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(
            f"`{name}` must be a number in [0, 1]. Received: {name}={value!r}"
        )
    return fraction


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"`{name}` must be one of {expected}. Received: {name}={value!r}"
        )
    return value


def check_images(images: Any) -> None:
    """Four axes, or three for a single image; floating point."""
    shape = tuple(images.shape)
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
