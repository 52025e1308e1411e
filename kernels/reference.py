"""The kernels in plain NumPy: slow, obvious, the oracle of the tests.

Arguments must be valid; the public functions of `keras_maskdef.kernels` check and
document them.
"""

from typing import Any

import numpy as np


def grid_mask(
    images: np.ndarray, keep: np.ndarray, cell_size: int, fill_value: object = 0.0
) -> np.ndarray:
    """Returns `images` where `keep` is True for their cell, else `fill_value`."""
    rows, columns = (np.arange(length) // cell_size for length in images.shape[1:3])
    visible = keep[..., rows, :][..., columns, np.newaxis]
    fill = np.asarray(fill_value, images.dtype)
    return np.where(visible, images, fill)


def bit_depth(images: np.ndarray, bits: int) -> np.ndarray:
    """Returns `images` with every value rounded to one of `2**bits` levels."""
    levels = 2**bits - 1
    if images.dtype == np.uint8:
        # Integer division of 2n + d by 2d rounds n / d; d is odd, so there is no tie.
        level = (2 * images.astype(np.int64) * levels + 255) // (2 * 255)
        return ((2 * level * 255 + levels) // (2 * levels)).astype(np.uint8)
    return np.rint(images * np.float32(levels)) / np.float32(levels)


def median(images: np.ndarray, size: int) -> np.ndarray:
    """Returns the (upper) median of the `size` x `size` window around every pixel."""
    before, after = size // 2, (size - 1) // 2
    padding = ((0, 0), (before, after), (before, after), (0, 0))
    padded = np.pad(images, padding, mode="symmetric")
    axes: Any = (1, 2)  # NumPy 2.1's stubs allow only one
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axes)
    values = windows.reshape(*images.shape, size * size)
    return np.sort(values, axis=-1)[..., size * size // 2]


def superset_sums(values: np.ndarray) -> np.ndarray:
    """Returns for each bit pattern the sum over all patterns that contain it."""
    patterns = np.arange(len(values))
    contains = (patterns[:, None] & patterns) == patterns[:, None]
    return contains.astype(values.dtype) @ values
