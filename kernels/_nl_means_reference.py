"""The kernel `nl_means` in plain NumPy: slow, obvious, the oracle of the tests.

It shares the constants of the color conversion and the table of weights with the
kernel; the tests check both against OpenCV.
"""

import numpy as np
from numpy.typing import NDArray

from . import _lab
from ._nl_means import weight_table


def nl_means(
    images: NDArray, strength: float, patch_size: int, search_size: int
) -> NDArray:
    """Returns `images` filtered; arguments must be valid."""
    if images.dtype == np.float32:
        scaled = np.nan_to_num(np.rint(images * np.float32(255)), nan=0.0)
        levels = np.clip(scaled, 0, 255).astype(np.uint8)
        filtered = nl_means(levels, strength, patch_size, search_size)
        return filtered / np.float32(255)
    window = (strength, patch_size, search_size)
    if images.shape[-1] == 1:
        return filter_jointly(images, *window)
    lab = encode(images)
    lightness = filter_jointly(lab[..., :1], *window)
    color = filter_jointly(lab[..., 1:], *window)
    return decode(np.concatenate([lightness, color], axis=-1))


def filter_jointly(
    images: NDArray[np.uint8], strength: float, patch_size: int, search_size: int
) -> NDArray[np.uint8]:
    """Returns weighted means over the window; a weight depends on all channels."""
    height, width, channels = images.shape[1:]
    table, shift = weight_table(strength, patch_size, search_size, channels)
    patch, search = patch_size // 2, search_size // 2
    border = patch + search
    padding = ((0, 0), (border, border), (border, border), (0, 0))
    padded = np.pad(images, padding, mode="reflect").astype(np.int64)
    total = np.zeros((*images.shape[:3], 1), np.int64)
    values = np.zeros(images.shape, np.int64)

    def moved(dy: int, dx: int) -> NDArray[np.int64]:
        rows = slice(border + dy, border + dy + height)
        return padded[:, rows, border + dx : border + dx + width]

    for dy in range(-search, search + 1):
        for dx in range(-search, search + 1):
            distance = np.zeros_like(total)
            for y in range(-patch, patch + 1):
                for x in range(-patch, patch + 1):
                    change = moved(y, x) - moved(dy + y, dx + x)
                    distance += np.sum(change**2, axis=-1, keepdims=True)
            weight = table[np.minimum(distance >> shift, len(table) - 1)].astype(int)
            total += weight
            values += weight * moved(dy, dx)
    return ((values + total // 2) // total).astype(np.uint8)


def encode(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the 8-bit Lab of linear BGR."""
    xyz = (images.astype(np.int64) * 8 @ _lab.ENCODE_MATRIX.T + 2048) >> 12
    x, y, z = np.moveaxis(_lab.CUBE_ROOT[xyz].astype(np.int64), -1, 0)
    fixed = [
        _lab.LIGHTNESS_SCALE * y - _lab.LIGHTNESS_SHIFT,
        500 * (x - y) + (128 << 15),
        200 * (y - z) + (128 << 15),
    ]
    rounded = (np.stack(fixed, axis=-1) + (1 << 14)) >> 15
    return np.clip(rounded, 0, 255).astype(np.uint8)


def decode(lab: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the linear BGR of 8-bit Lab."""
    lightness, a, b = np.moveaxis(lab.astype(np.int64), -1, 0)
    f = _lab.LIGHTNESS_TO_F[lightness] - _lab.FIRST_CHROMA
    x = _lab.CHROMA_TO_XZ[f + ((a * 268435 + 128) >> 13) - 4194]
    z = _lab.CHROMA_TO_XZ[f - ((b * 41943 + 16) >> 9) + 10484]
    xyz = np.stack([x, _lab.LIGHTNESS_TO_Y[lightness], z], axis=-1).astype(np.int64)
    bgr = np.clip((xyz @ _lab.DECODE_MATRIX.T + 8192) >> 14, 0, 4095)
    return ((bgr * 255) >> 12).astype(np.uint8)
