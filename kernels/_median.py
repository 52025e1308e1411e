"""The median of square windows on a CPU, row by row.

Going down an image, each row is read once, its windows of `size` values are sorted into
a ring of the last `size` sorted rows, and the medians of one row of the result are
taken from the ring. `_median_networks` writes the three inner loops.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint64

from . import _median_networks as networks

# Elements of a plane of the ring. A power of two would put the planes on the same lines
# of the first cache, and make loads wait for stores to other planes.
_PLANE = 1040
_TILE_ROWS = 64
_MAX_EDGE = 3 * 6 * 8  # elements: 3 * (size - 1) columns of up to 8 channels

_jit = njit(nogil=True)


class Tiling(NamedTuple):
    """Tiles of `rows` x `columns` pixels, `count` of them for the batch."""

    count: int
    rows: int
    columns: int


def tiling(shape: tuple[int, ...]) -> Tiling:
    """Cuts images into tiles of about equal size, no wider than the ring's planes."""
    batch, height, width, channels = shape
    down = -(-height // _TILE_ROWS)
    across = -(-width // (_PLANE // channels))
    return Tiling(batch * down * across, -(-height // down), -(-width // across))


@cache
def kernel(size: int) -> Callable[..., None]:
    """Returns `filter_tiles(first, last, images, out, ...)` for windows of `size`."""
    stages: dict[str, Any] = {"uint64": uint64}
    exec(networks.stages(size, _PLANE), stages)
    sort_rows, medians = _jit(stages["sort_rows"]), _jit(stages["medians"])
    paired = size >= networks.SMALLEST_PAIRED
    merge_pairs = _jit(stages["merge_pairs"]) if paired else None
    lists = len(networks.window_lists(size))
    before, after = size // 2, (size - 1) // 2
    slot = size * _PLANE

    @_jit
    def filter_tiles(
        first, last, images, out, height, width, channels, tile_rows, tile_columns
    ):
        rows = np.empty(size * slot, images.dtype)
        pairs = np.empty(2 * size * slot if paired else 0, images.dtype)
        edge = np.empty(_MAX_EDGE, images.dtype)
        edge_from = np.empty(_MAX_EDGE, np.uint64)
        at = np.empty(lists, np.uint64)
        step = np.uint64(channels)
        across = -(-width // tile_columns)
        down = -(-height // tile_rows)
        for tile in range(first, last):
            image = tile // (down * across)
            top = tile // across % down * tile_rows
            bottom = min(top + tile_rows, height)
            left = tile % across * tile_columns
            right = min(left + tile_columns, width)
            inner_left, inner_right = max(left, before), min(right, width - after)
            left_edge = (inner_left - left) * channels
            right_edge = (right - inner_right) * channels
            edges = _edge_columns(
                edge_from, left, inner_left, inner_right, right, width, channels, size
            )
            count = np.uint64((right - left) * channels)
            for row in range(top - before, bottom + after):
                base = (image * height + _mirrored(row, height)) * width * channels
                ring = (row + size) % size
                target = ring * slot
                sort_rows(
                    images,
                    np.uint64(base + (inner_left - before) * channels),
                    rows,
                    np.uint64(target + left_edge),
                    np.uint64((inner_right - inner_left) * channels),
                    step,
                )
                if edges > 0:
                    for i in range(np.uint64(edges)):
                        edge[i] = images[np.uint64(base) + edge_from[i]]
                    sort_rows(
                        edge,
                        np.uint64(0),
                        rows,
                        np.uint64(target),
                        np.uint64(left_edge),
                        step,
                    )
                    sort_rows(
                        edge,
                        np.uint64(edges - right_edge - (size - 1) * channels),
                        rows,
                        np.uint64(target + (inner_right - left) * channels),
                        np.uint64(right_edge),
                        step,
                    )
                above = (row + size - 1) % size
                if paired and row >= top - before + 1:
                    merge_pairs(
                        rows,
                        np.uint64(above * slot),
                        np.uint64(target),
                        pairs,
                        np.uint64(2 * above * slot),
                        count,
                    )
                if row >= top + after:
                    for i in range(lists):
                        start = row - size + 1 + (2 * i if paired else i)
                        single = not paired or 2 * i == size - 1
                        at[i] = (start + size) % size * slot * (1 if single else 2)
                    result = ((image * height + row - after) * width + left) * channels
                    medians(rows, pairs, at, out, np.uint64(result), count)

    return filter_tiles


@_jit
def _edge_columns(
    edge_from, left, inner_left, inner_right, right, width, channels, size
):
    """Lists, as offsets in a row, what the windows over the border read; returns
    how many there are."""
    before, found = size // 2, 0
    for first, last in ((left, inner_left), (inner_right, right)):
        if first < last:
            for column in range(first - before, last - before + size - 1):
                for channel in range(channels):
                    edge_from[found] = _mirrored(column, width) * channels + channel
                    found += 1
    return found


@_jit
def _mirrored(index, length):
    if index < 0:
        return -index - 1
    return index if index < length else 2 * length - 1 - index
