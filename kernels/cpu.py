"""The kernels on a CPU: serial, vectorised numba, split over our own threads.

What lets the compiler vectorise: flat arrays, unsigned 64-bit indices (signed ones may
wrap around) and `a if a < b else b`, which is one instruction where `min` is a branch
for NaN. The functions take valid arguments; `keras_maskdef.kernels` checks them.
"""

from typing import Any

import numpy as np
from numba import njit

from . import _bit_depth, _median, _median_rows
from ._threads import split
from ._vectors import LINE, whole_vectors, wide

# Fewer elements a thread than this cost more to hand over than to compute.
_SMALLEST_MASKED = 1 << 17
_SMALLEST_ROUNDED = 1 << 19
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
            np.tile(fill, width + LINE).view(np.uint8),
            flat.view(np.uint8),
            *(len(views), batch, height, cell_size, row, cell),
        )


def bit_depth(images: np.ndarray, bits: int, out: np.ndarray) -> None:
    """Fills `out` with `images` on `2**bits` levels; see `kernels.bit_depth`."""
    with _Flat(out) as flat:
        source = _flat(images)
        if images.dtype == np.float32:
            levels = 2**bits - 1
            split(
                *(_bit_depth.round_floats, flat.size, _SMALLEST_ROUNDED),
                *(source, flat, levels),
            )
        elif bits == 8:
            np.copyto(flat, source)
        else:
            split(
                *(_bit_depth.round_bytes, flat.size, _SMALLEST_ROUNDED),
                *(source, flat, bits),
            )


def median(images: np.ndarray, size: int, out: np.ndarray) -> None:
    """Fills `out` with the window medians of `images`; see `kernels.median`."""
    holds_nan = np.zeros(1, bool)
    _filter(images, size, out, holds_nan)
    if holds_nan[0]:
        # Minimum and maximum know no order of NaN: again, as integers that have one.
        keys = _ordered(np.ascontiguousarray(images).view(np.int32))
        medians = np.empty_like(keys)
        _filter(keys, size, medians, holds_nan)
        np.copyto(out, _ordered(medians).view(np.float32))


def _filter(
    images: np.ndarray, size: int, out: np.ndarray, holds_nan: np.ndarray
) -> None:
    """Fills `out` with medians, and sets `holds_nan` where `images` hold any."""
    batch, height, width, channels = images.shape
    with _Flat(out) as flat:
        if size <= _median_rows.LARGEST:
            split(
                _median_rows.kernel(size, channels),
                batch * height,
                _SMALLEST_FILTERED // (width * channels),
                *(_flat(images), flat, holds_nan, height, width),
            )
            return
        tiling = _median.tiling(images.shape)
        split(
            _median.kernel(size),
            tiling.total,
            _SMALLEST_FILTERED // max(1, images.size // tiling.total),
            *(_flat(images), flat, holds_nan, height, width, channels),
            *(tiling.rows, tiling.columns),
        )


def _ordered(bits: np.ndarray) -> np.ndarray:
    """Turns the bits of floats into integers of the same order, NaN last, and back."""
    keys = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(is_nan, np.int32(0x7FFFFFFF), keys)


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
    first: int,
    last: int,
    images: np.ndarray,
    keep: np.ndarray,
    fill: np.ndarray,
    out: np.ndarray,
    views: int,
    batch: int,
    height: int,
    cell_size: int,
    row: int,
    cell: int,
) -> None:
    """Masks bands, each one row of cells of one image, all in bytes.

    A byte mask turns the choice into `and` and `or`, the same for every dtype. Loops
    run in whole vectors where what they spill is written again later, which it is up
    to the end of the image.
    """
    wide()
    whole_row, whole_cell = whole_vectors(row, 1), whole_vectors(cell, 1)
    mask = np.empty(row + whole_row + whole_cell, np.uint8)
    bands, across = -(-height // cell_size), -(-row // cell)
    for job in range(first, last):
        image, band = job // bands, job % bands
        top, bottom = band * cell_size, min((band + 1) * cell_size, height)
        for view in range(views):
            cells = ((view * batch + image) * bands + band) * across
            for column in range(across):
                value, start = -keep[cells + column], np.uint64(column * cell)
                for i in range(np.uint64(whole_cell)):
                    mask[start + i] = value
            end = (view * batch + image + 1) * height * row
            for y in range(top, bottom):
                source = (image * height + y) * row
                target = ((view * batch + image) * height + y) * row
                spills = target + whole_row <= end and source + whole_row <= images.size
                begin, to = np.uint64(source), np.uint64(target)
                for i in range(np.uint64(whole_row if spills else row)):
                    visible = mask[i]
                    out[to + i] = images[begin + i] & visible | fill[i] & ~visible
