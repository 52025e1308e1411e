"""Argument checks that the layers share."""

from collections.abc import Sequence
from typing import Any

import keras


def check_positive_int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
        )
    return int(value)


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
