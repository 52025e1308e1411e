"""Non-local means on the CPU, bit for bit OpenCV's.

OpenCV loops over the pixels and, for each pixel, over its window. Here the offsets of
the window are the outer loop and whole images the inner one. The weight of a pair of
pixels serves both of them, so half of the offsets suffice. All sums are of integers, so
their order does not matter.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from . import _lab
from . import _nl_means_jit as jit
from ._threads import split
from ._vectors import flat

# Fewer elements a thread than this cost more to hand over than to convert.
SMALLEST = 1 << 14


def nl_means(
    images: NDArray,
    strength: float,
    patch_size: int,
    search_size: int,
    out: NDArray,
) -> None:
    """Fills `out`; see `keras_maskdef.kernels.nl_means`. Arguments must be valid.

    Args:
        images: float32 or uint8 array of shape (B, H, W, C) with C of 1 or 3.
        strength, patch_size, search_size: as for the public function.
        out: array of the shape and dtype of `images`.
    """
    window = (strength, patch_size, search_size)
    levels = flat(images).reshape(images.shape)
    if images.dtype == np.float32:
        levels = _converted(jit.to_levels, levels, np.empty(levels.shape, np.uint8))
    if images.shape[-1] == 1:
        filtered = np.empty_like(levels)
        _filter_channels(levels, filtered, (0, 1), *window)
    else:
        lab = _converted(_lab.encode, levels, np.empty_like(levels), unit=3)
        smooth = np.empty_like(lab)
        _filter_channels(lab, smooth, (0, 1), *window)
        _filter_channels(lab, smooth, (1, 2), *window)
        filtered = _converted(_lab.decode, smooth, lab, unit=3)
    if images.dtype == np.float32:
        filtered = _converted(jit.to_floats, filtered, np.empty(images.shape, "f4"))
    out[...] = filtered


def weight_table(
    strength: float, patch_size: int, search_size: int, channels: int
) -> tuple[NDArray[np.uint32], int]:
    """Returns fixed-point weights by distance and the shift from patch sum to distance.

    The shift stands for a division by the patch's area, rounded up to a power of two.
    Weights under a thousandth of the first are zero; the table ends with the first
    zero, which serves all larger distances.
    """
    area = patch_size**2
    shift = (area - 1).bit_length()
    scale = 2**shift / area
    unit = (2**31 - 1) // (search_size**2 * 255)
    with np.errstate(all="ignore"):
        # OpenCV holds the strength and its square in single precision.
        variance = float(np.float32(strength) ** 2 * np.float32(channels))
        # From seven variances on the weight is below a thousandth.
        count = int(min(255**2 * channels, 7 * variance) / scale) + 1
        decay = np.exp(-np.arange(count) * scale / np.float64(variance))
    decay[0] = 1.0
    weights = np.rint(unit * decay)
    weights[weights < 0.001 * unit] = 0
    return np.append(np.trim_zeros(weights, "b"), 0).astype(np.uint32), shift


def _filter_channels(
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    channels: tuple[int, int],
    strength: float,
    patch_size: int,
    search_size: int,
) -> None:
    """Filters `channels[1]` channels jointly, from channel `channels[0]` on."""
    batch, height, width, depth = source.shape
    first, count = channels
    table, shift = weight_table(strength, patch_size, search_size, count)
    # A difference cut to `narrow` gives zero weight to every patch that contains it,
    # and sums over patches then fit 16 bits: twice the lanes.
    narrow = 65535 // patch_size**2
    fits = (len(table) - 1) << shift <= narrow
    limit = np.array([narrow], np.uint16) if fits else np.array([2**31], np.uint32)
    halves = (patch_size // 2, search_size // 2)
    split(
        jit.denoise,
        batch * -(-height // jit.STRIP_ROWS),
        1,
        source.reshape(-1),
        target.reshape(-1),
        (height, width, depth),
        first,
        count,
        halves,
        table,
        np.uint32(shift),
        limit,
        _mirrored(height, sum(halves)),
        _mirrored(width, sum(halves)),
    )


def _mirrored(length: int, border: int) -> NDArray[np.uint64]:
    """Returns the pixel behind each position of a line mirrored at its ends."""
    return np.pad(np.arange(length, dtype=np.uint64), border, mode="reflect")


def _converted(
    kernel: Callable[..., None], source: NDArray, target: NDArray, unit: int = 1
) -> NDArray:
    """Returns `target`, filled by a kernel that works on `unit` values at a time."""
    jobs = source.size // unit
    split(kernel, jobs, SMALLEST, source.reshape(-1), target.reshape(-1))
    return target
