"""The kernels on a CPU: serial, vectorised numba, split over a pool of threads.

The compiler needs three things to vectorise: flat arrays, unsigned 64-bit indices
(signed ones may wrap around) and `a if a < b else b`, which is one instruction, where
`min` is a branch for NaN. Arguments must be valid; `keras_maskdef.kernels` checks them.
"""

import numpy as np

from . import _bit_depth, _grid_mask, _median, _median_rows, _superset_sums
from ._threads import split
from ._vectors import LINE, flat

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
    bands = batch * views.shape[2]
    row = width * channels * images.itemsize
    cell = cell_size * channels * images.itemsize
    result = out.ravel()
    split(
        _grid_mask.mask_bands,
        bands,
        _SMALLEST_MASKED // max(1, row * cell_size * len(views)),
        flat(images).view(np.uint8),
        flat(views).view(np.uint8),
        np.tile(fill, width + LINE).view(np.uint8),
        result.view(np.uint8),
        *(len(views), batch, height, cell_size, row, cell),
    )
    _write_back(result, out)


def bit_depth(images: np.ndarray, bits: int, out: np.ndarray) -> None:
    """Fills `out` with `images` on `2**bits` levels; see `kernels.bit_depth`."""
    source, result = flat(images), out.ravel()
    if images.dtype == np.float32:
        levels = 2**bits - 1
        arguments = (result.size, _SMALLEST_ROUNDED, source, result, levels)
        split(_bit_depth.round_floats, *arguments)
    elif bits == 8:
        np.copyto(result, source)
    else:
        arguments = (result.size, _SMALLEST_ROUNDED, source, result, bits)
        split(_bit_depth.round_bytes, *arguments)
    _write_back(result, out)


def median(images: np.ndarray, size: int, out: np.ndarray) -> None:
    """Fills `out` with the window medians of `images`; see `kernels.median`."""
    holds_nan = np.zeros(1, bool)
    _filter(images, size, out, holds_nan)
    if holds_nan[0]:
        # Minimum and maximum do not order NaN; integers of the same order do.
        keys = _ordered(images)
        medians = np.empty_like(keys)
        _filter(keys, size, medians, holds_nan)
        np.copyto(out, _flipped(medians).view(np.float32))


def _filter(
    images: np.ndarray, size: int, out: np.ndarray, holds_nan: np.ndarray
) -> None:
    """Fills `out` with medians, and sets `holds_nan` where `images` hold any."""
    batch, height, width, channels = images.shape
    source, result = flat(images), out.ravel()
    if size <= _median_rows.LARGEST:
        split(
            _median_rows.kernel(size, channels),
            batch * height,
            _SMALLEST_FILTERED // (width * channels),
            *(source, result, holds_nan, height, width),
        )
    else:
        tiling = _median.tiling(images.shape)
        split(
            _median.kernel(size),
            tiling.total,
            _SMALLEST_FILTERED // max(1, images.size // tiling.total),
            *(source, result, holds_nan, height, width, channels),
            *(tiling.rows, tiling.columns),
        )
    _write_back(result, out)


def _ordered(images: np.ndarray) -> np.ndarray:
    """Returns integers of the same order as floats, NaN last."""
    keys = _flipped(np.ascontiguousarray(images).view(np.int32))
    return np.where(np.isnan(images), np.int32(0x7FFFFFFF), keys)


def _flipped(bits: np.ndarray) -> np.ndarray:
    """Turns bits of floats into integers of the same order, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _write_back(result: np.ndarray, out: np.ndarray) -> None:
    """Copies a result to `out`, where `out.ravel()` could not be a view of it."""
    if not out.flags.c_contiguous:
        np.copyto(out, result.reshape(out.shape))


def superset_sums(values: np.ndarray) -> np.ndarray:
    """Returns the sums over supersets; see `kernels.superset_sums`.

    65,536 floats take 0.45 ms on one core, 3 ms as 16 additions of NumPy views.
    """
    sums = values.copy()
    _superset_sums.add_supersets(sums)
    return sums
