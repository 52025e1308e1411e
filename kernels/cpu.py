"""The kernels on a CPU: serial, vectorised numba, split over our own threads.

What lets the compiler vectorise: flat arrays, unsigned 64-bit indices (signed ones may
wrap around) and `a if a < b else b`, which is one instruction where `min` is a branch
for NaN. The functions take valid arguments; `keras_maskdef.kernels` checks them.
"""

from typing import Any

import numpy as np
from numba import njit

from . import _median
from ._threads import split

# Fewer elements a thread than this cost more to hand over than to compute.
_SMALLEST_MASKED = 1 << 17
_SMALLEST_ROUNDED = 1 << 17
_SMALLEST_FILTERED = 1 << 14


def grid_mask(
    images: np.ndarray,
    keep: np.ndarray,
    cell_size: int,
    fill: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fills `out` with the views of `images`; see `kernels.grid_mask`."""
    batch, height, width, channels = images.shape
    views = keep.reshape(-1, *keep.shape[-3:])
    with _Flat(out) as flat:
        bands = batch * views.shape[2]
        row = width * channels * images.itemsize
        cell = cell_size * channels * images.itemsize
        split(
            _mask_bands,
            bands,
            _SMALLEST_MASKED // max(1, row * cell_size * len(views)),
            _flat(images).view(np.uint8),
            _flat(views).view(np.uint8),
            np.tile(fill, width).view(np.uint8),
            flat.view(np.uint8),
            *(len(views), batch, height, cell_size, row, cell),
        )


def bit_depth(images: np.ndarray, bits: int, out: np.ndarray) -> None:
    """Fills `out` with `images` on `2**bits` levels; see `kernels.bit_depth`."""
    with _Flat(out) as flat:
        kernel = _round_bytes if images.dtype == np.uint8 else _round_floats
        if images.dtype == np.uint8 and bits == 8:
            np.copyto(flat, _flat(images))
            return
        split(kernel, flat.size, _SMALLEST_ROUNDED, _flat(images), flat, 2**bits - 1)


def median(images: np.ndarray, size: int, out: np.ndarray) -> None:
    """Fills `out` with the window medians of `images`; see `kernels.median`."""
    with _Flat(out) as flat:
        tiling = _median.tiling(images.shape)
        elements = images.size // tiling.count
        split(
            _median.kernel(size),
            tiling.count,
            _SMALLEST_FILTERED // max(1, elements),
            _flat(images),
            flat,
            *images.shape[1:],
            tiling.rows,
            tiling.columns,
        )


class _Flat:
    """A flat array to write in place of `out`, copied back where it is not a view."""

    def __init__(self, out: np.ndarray) -> None:
        self._out = out

    def __enter__(self) -> np.ndarray:
        contiguous = self._out.flags.c_contiguous
        self._written = self._out if contiguous else np.empty_like(self._out, order="C")
        return self._written.reshape(-1)

    def __exit__(self, *error: Any) -> None:
        if self._written is not self._out:
            np.copyto(self._out, self._written)


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1)


@njit(nogil=True)
def _mask_bands(
    first, last, images, keep, fill, out, views, batch, height, cell_size, row, cell
):
    """Masks bands, each one row of cells of one image, all in bytes.

    A byte mask turns the choice into `and` and `or`, the same for every dtype.
    """
    mask = np.empty(row, np.uint8)
    bands = -(-height // cell_size)
    across = -(-row // cell)
    for band in range(first, last):
        image, top = band // bands, band % bands * cell_size
        bottom = min(top + cell_size, height)
        for view in range(views):
            cells = ((view * batch + image) * bands + band % bands) * across
            for column in range(across):
                mask[column * cell : (column + 1) * cell] = -keep[cells + column]
            for y in range(top, bottom):
                source = np.uint64((image * height + y) * row)
                target = np.uint64(((view * batch + image) * height + y) * row)
                for i in range(np.uint64(row)):
                    out[target + i] = images[source + i] & mask[i] | fill[i] & ~mask[i]


@njit(nogil=True)
def _round_floats(first, last, images, out, levels):
    scale = np.float32(levels)
    for i in range(np.uint64(first), np.uint64(last)):
        out[i] = np.rint(images[i] * scale) / scale


@njit(nogil=True)
def _round_bytes(first, last, images, out, levels):
    # Integer division by multiplication: exact for what 8 bits hold, and vectorised.
    half, inverse = np.uint32(levels // 2), np.uint32((1 << 22) // levels + 1)
    for i in range(np.uint64(first), np.uint64(last)):
        product = np.uint32(images[i]) * np.uint32(levels) + np.uint32(128)
        level = (product + (product >> np.uint32(8))) >> np.uint32(8)
        out[i] = ((level * np.uint32(255) + half) * inverse) >> np.uint32(22)
