"""The compiled part of `_nl_means`: sums of weights and of weighted values.

Loops run over flat arrays with unsigned indices, so that all but the table lookup
vectorise. The scalar lookup is as fast as a vectorised gather would be.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy import uint32, uint64
from numpy.typing import NDArray

# A strip of rows with its borders and sums stays within the level-2 cache.
STRIP_ROWS = 32

# The floats that eight-bit levels stand for.
_FLOATS = np.arange(256, dtype=np.float32) / np.float32(255)


@njit(nogil=True)
def to_levels(first: int, last: int, source: NDArray, target: NDArray) -> None:
    """Writes `rint(255 * x)` of flat floats, cut to 0..255; NaN becomes 0."""
    for i in range(uint64(first), uint64(last)):
        level = np.rint(source[i] * np.float32(255))
        level = level if level > np.float32(0) else np.float32(0)
        target[i] = np.uint8(level if level < np.float32(255) else np.float32(255))


@njit(nogil=True)
def to_floats(first: int, last: int, source: NDArray, target: NDArray) -> None:
    """Writes `x / 255` of flat eight-bit levels."""
    for i in range(uint64(first), uint64(last)):
        target[i] = _FLOATS[source[i]]


@njit(nogil=True)
def denoise(
    first: int,
    last: int,
    source: NDArray,
    target: NDArray,
    shape: tuple[int, int, int],
    channel: int,
    count: int,
    halves: tuple[int, int],
    table: NDArray,
    shift: uint32,
    limit: NDArray,
    rows: NDArray,
    columns: NDArray,
) -> None:
    """Filters strips `first` to `last` in `count` joint channels from `channel` on.

    Args:
        source, target: flat uint8 arrays of images of `shape` (height, width, depth).
        halves: half sizes of the patch and the search window, rounded down.
        table, shift: from `weight_table`.
        limit: one value, in the dtype of sums of distances, to which distances are cut.
        rows, columns: the source row and column behind each row and column of an image
            with its borders.
    """
    height, width, depth = shape
    border = sum(halves)
    stride, step = uint64(len(columns)), uint64(depth)
    strips = (height + STRIP_ROWS - 1) // STRIP_ROWS
    size = uint64((min(height, STRIP_ROWS) + 2 * border) * len(columns))
    plane = np.zeros(uint64(count) * size, np.uint8)
    buffers = (
        np.zeros(size, limit.dtype),
        np.zeros(size, limit.dtype),
        np.zeros(size, uint32),
    )
    total = np.zeros(size, uint32)
    values = np.zeros(len(plane), uint32)
    for strip in range(first, last):
        top = strip % strips * STRIP_ROWS
        lines = min(height - top, STRIP_ROWS)
        image = uint64(strip // strips * height * width * depth + channel)
        padded = rows[top : top + lines + 2 * border] * uint64(width) * step
        for k in range(uint64(count)):
            _pad(source, image + k, step, padded, columns, plane[k * size :])
        _sum_window(
            plane, lines, width, halves, table, shift, limit[0], buffers, total, values
        )
        image += uint64(top * width) * step
        inner = uint64(border) * stride + uint64(border)
        for k in range(uint64(count)):
            for row in range(uint64(lines)):
                i = inner + row * stride
                out = image + k + row * uint64(width) * step
                _divide(total, i, values, k * size + i, width, target, out, step)


@njit(nogil=True)
def _pad(
    source: NDArray,
    at: uint64,
    step: uint64,
    rows: NDArray,
    columns: NDArray,
    plane: NDArray,
) -> None:
    """Fills a plane from the pixels at `at + row + column * step` of the source."""
    width = uint64(len(columns))
    for row in range(uint64(len(rows))):
        line = at + rows[row]
        for column in range(width):
            plane[row * width + column] = source[line + columns[column] * step]


@njit(nogil=True)
def _sum_window(
    plane: NDArray,
    height: int,
    width: int,
    halves: tuple[int, int],
    table: NDArray,
    shift: uint32,
    limit: Any,
    buffers: tuple[NDArray, NDArray, NDArray],
    total: NDArray,
    values: NDArray,
) -> None:
    """Sums the weights of the whole window into `total`, weighted pixels into `values`.

    `plane` holds one or two channels of `height` by `width` pixels with a border of
    `sum(halves)` on every side, and so do the sums. The borders of the sums have no
    meaning: loops run through the borders, from the first pixel to the last.
    """
    sums, boxed, weights = buffers
    patch, search = halves
    size, reach = uint64(len(total)), uint64(patch)
    border = uint64(patch + search)
    stride = uint64(width) + uint64(2) * border
    first = border * stride + border
    last = first + uint64(height - 1) * stride + uint64(width)
    margin = reach * stride + reach
    two_channels = len(plane) > len(total)

    for i in range(first, last):
        total[i] = table[0]
    for i in range(uint64(len(plane))):
        values[i] = table[0] * uint32(plane[i])
    for dy in range(search + 1):
        for dx in range(-search if dy else 1, search + 1):
            offset = uint64(dy * int(stride) + dx)
            start = first - offset
            begin, end = start - margin, last + margin
            if two_channels:
                _distances_of_two(plane, size, offset, begin, end, limit, sums)
            else:
                _distances(plane, offset, begin, end, limit, sums)
            _box(sums, stride, reach, start - reach, last + reach, boxed)
            _box(boxed, uint64(1), reach, start, last, sums)
            left = first - uint64(max(dx, 0)) - uint64(dy) * stride
            # Some indices that are looked up have no meaning, but must be in the table.
            right = last + uint64(max(-dx, 0))
            _to_indices(sums, shift, uint32(len(table) - 1), left, right)
            _look_up(table, sums, left, stride, height + dy, width + abs(dx), weights)
            _add(weights, offset, plane, first, last, total, values)
            if two_channels:
                _add_second(weights, offset, plane, size, first, last, values)


@njit(nogil=True)
def _distances(
    plane: NDArray,
    offset: uint64,
    first: uint64,
    last: uint64,
    limit: Any,
    sums: NDArray,
) -> None:
    for i in range(first, last):
        change = np.int32(plane[i]) - np.int32(plane[i + offset])
        square = uint32(change * change)
        sums[i] = square if square < limit else limit


@njit(nogil=True)
def _distances_of_two(
    plane: NDArray,
    size: uint64,
    offset: uint64,
    first: uint64,
    last: uint64,
    limit: Any,
    sums: NDArray,
) -> None:
    for i in range(first, last):
        change = np.int32(plane[i]) - np.int32(plane[i + offset])
        other = np.int32(plane[size + i]) - np.int32(plane[size + i + offset])
        square = uint32(change * change + other * other)
        sums[i] = square if square < limit else limit


@njit(nogil=True)
def _box(
    values: NDArray,
    step: uint64,
    reach: uint64,
    first: uint64,
    last: uint64,
    sums: NDArray,
) -> None:
    """Sums each value and its `reach` neighbours, `step` apart, on both sides."""
    if reach == 0:
        for i in range(first, last):
            sums[i] = values[i]
        return
    for i in range(first, last):
        sums[i] = values[i] + values[i - step] + values[i + step]
    for k in range(uint64(2), reach + uint64(1)):
        far = k * step
        for i in range(first, last):
            sums[i] += values[i - far] + values[i + far]


@njit(nogil=True)
def _to_indices(
    sums: NDArray, shift: uint32, highest: uint32, first: uint64, last: uint64
) -> None:
    for i in range(first, last):
        index = uint32(uint32(sums[i]) >> shift)
        sums[i] = index if index < highest else highest


@njit(nogil=True)
def _look_up(
    table: NDArray,
    indices: NDArray,
    first: uint64,
    stride: uint64,
    rows: int,
    columns: int,
    weights: NDArray,
) -> None:
    """Skips the border pixels: unlike the other loops, this one gains by it."""
    for row in range(uint64(rows)):
        line = first + row * stride
        for i in range(line, line + uint64(columns)):
            weights[i] = table[indices[i]]


@njit(nogil=True)
def _add(
    weights: NDArray,
    offset: uint64,
    plane: NDArray,
    first: uint64,
    last: uint64,
    total: NDArray,
    values: NDArray,
) -> None:
    """Adds the pixels `offset` after and before; a weight is at the earlier of two."""
    for i in range(first, last):
        after, before = weights[i], weights[i - offset]
        total[i] += after + before
        weighted = after * uint32(plane[i + offset])
        values[i] += weighted + before * uint32(plane[i - offset])


@njit(nogil=True)
def _add_second(
    weights: NDArray,
    offset: uint64,
    plane: NDArray,
    size: uint64,
    first: uint64,
    last: uint64,
    values: NDArray,
) -> None:
    """Adds the second channel, which lies `size` after the first."""
    for i in range(first, last):
        weighted = weights[i] * uint32(plane[size + i + offset])
        before = weights[i - offset] * uint32(plane[size + i - offset])
        values[size + i] += weighted + before


@njit(nogil=True)
def _divide(
    total: NDArray,
    i: uint64,
    values: NDArray,
    j: uint64,
    count: int,
    target: NDArray,
    at: uint64,
    step: uint64,
) -> None:
    """Writes rounded quotients; float64 division never rounds up to an integer here."""
    for k in range(uint64(count)):
        weight = total[i + k]
        rounded = values[j + k] + (weight >> uint32(1))
        target[at + k * step] = np.uint8(np.float64(rounded) / np.float64(weight))
