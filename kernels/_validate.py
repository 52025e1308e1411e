"""Argument checks shared by every kernel; all of them run before any work."""

import math
import operator
from collections.abc import Collection
from typing import Any

import numpy as np

DTYPES = ("float32", "uint8")
_DTYPES = tuple(map(np.dtype, DTYPES))  # to be compared in C: `str(dtype)` takes 7 us
MAX_CHANNELS = 8


def check_images(images: Any, channels: Collection[int] = ()) -> None:
    """Raises unless `images` is a float32 or uint8 array of shape (B, H, W, C).

    C is one of `channels`, or 1 to 8 where that is empty.
    """
    if len(images.shape) != 4:
        raise ValueError(
            "`images` must have the shape (batch, height, width, channels). "
            f"Received: images.shape={tuple(images.shape)}"
        )
    if images.dtype not in _DTYPES:
        raise TypeError(
            f"`images` must be of dtype {' or '.join(DTYPES)}. "
            f"Received: images.dtype={images.dtype}"
        )
    if not 1 <= images.shape[3] <= MAX_CHANNELS:
        raise ValueError(
            f"`images` must have 1 to {MAX_CHANNELS} channels on its last axis. "
            f"Received: images.shape={tuple(images.shape)}"
        )
    if channels and images.shape[3] not in channels:
        raise ValueError(
            f"`images` must have {' or '.join(map(str, channels))} channels on the "
            f"last axis. Received: images.shape={tuple(images.shape)}"
        )


def integer(name: str, value: Any, lowest: int, highest: int | None = None) -> int:
    """Returns `value` as an int, or raises where it is none or out of range."""
    expected = f"an integer of at least {lowest}"
    if highest is not None:
        expected = f"an integer from {lowest} to {highest}"
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"`{name}` must be {expected}. Received: {name}={value!r}")
    if number < lowest or (highest is not None and number > highest):
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")
    return number


def odd_integer(name: str, value: Any, highest: int) -> int:
    """Returns `value` as an odd int from 1 to `highest`, or raises."""
    number = integer(name, value, 1, highest)
    if number % 2 == 0:
        raise ValueError(f"`{name}` must be odd. Received: {name}={value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """Returns `value` as a finite float above 0, or raises."""
    numeric = isinstance(value, (int, float, np.integer, np.floating))
    if isinstance(value, bool) or not numeric:
        raise TypeError(
            f"`{name}` must be a number above 0. Received: {name}={value!r}"
        )
    if not 0 < value < math.inf:
        raise ValueError(
            f"`{name}` must be a finite number above 0. Received: {name}={value!r}"
        )
    return float(value)


def check_window(name: str, size: int, images: Any) -> None:
    """Raises where a window of `size` x `size` pixels is larger than the images."""
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise ValueError(
            f"`{name}` must not exceed the height or width of the images. "
            f"Received: {name}={size}, images.shape={tuple(images.shape)}"
        )


def check_keep(keep: Any, images: Any, cell_size: int) -> None:
    """Raises unless `keep` is a boolean grid, (N, B, GH, GW) or (B, GH, GW)."""
    if str(keep.dtype) != "bool":
        raise TypeError(
            "`keep` must be boolean, True where a cell stays visible. "
            f"Received: keep.dtype={keep.dtype}"
        )
    batch, height, width = images.shape[:3]
    grid = (batch, -(-height // cell_size), -(-width // cell_size))
    if len(keep.shape) not in (3, 4) or tuple(keep.shape[-3:]) != grid:
        raise ValueError(
            f"`keep` must have the shape {grid} or (views, *{grid}): one value for "
            "each cell, the last row and column of cells cut where the cell does not "
            f"divide the image. Received: keep.shape={tuple(keep.shape)}, "
            f"images.shape={tuple(images.shape)}, cell_size={cell_size}"
        )


def fill_per_channel(fill_value: Any, images: Any) -> np.ndarray:
    """Returns `fill_value` as one value a channel, in the dtype of the images."""
    channels = images.shape[3]
    given = np.asarray(fill_value)
    if given.dtype.kind not in "iuf":
        raise TypeError(
            "`fill_value` must be a number or one number per channel. "
            f"Received: fill_value={fill_value!r}"
        )
    if given.shape not in ((), (channels,)):
        raise ValueError(
            f"`fill_value` must be a number or one for each of {channels} channels. "
            f"Received: fill_value={fill_value!r}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        fill = np.broadcast_to(given, (channels,)).astype(str(images.dtype))
    if str(images.dtype) == "uint8" and not np.array_equal(
        fill, np.broadcast_to(given, (channels,))
    ):
        raise ValueError(
            "`fill_value` must hold integers from 0 to 255 for uint8 images. "
            f"Received: fill_value={fill_value!r}"
        )
    return fill


def check_out(out: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """Raises unless `out` can take a result of this shape and dtype."""
    if tuple(out.shape) != shape:
        raise ValueError(
            f"`out` must have the shape {shape}. Received: out.shape={tuple(out.shape)}"
        )
    if out.dtype != dtype:
        raise TypeError(
            f"`out` must be of dtype {dtype}, as the images. "
            f"Received: out.dtype={out.dtype}"
        )
