"""The median of windows of 4x4 to 7x7 on a CPU, row by row.

Each row of an image is read once, from the top down. Its windows of `size` values are
sorted into a ring of the last `size` sorted rows. Pairs of these are merged into a
second ring. The medians of one row of the result come from both rings.
`_median_networks` writes the three inner loops. Smaller windows need no ring: see
`_median_rows`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint64

from . import _median_networks as networks
from ._vectors import LINE, copy, has_nan, inner, mirrored, scratch, whole_vectors, wide

# Elements of a plane of the ring. A power of two would put the planes on the same lines
# of the first cache, and make loads wait for stores to other planes.
_PLANE = 1040
_TILE_ROWS = 64
_MAX_EDGE = 6 * 8  # elements added to a row: size - 1 columns of up to 8 channels


class Tiling(NamedTuple):
    """Tiles of `rows` x `columns` pixels, `total` of them in the batch."""

    total: int
    rows: int
    columns: int


def tiling(shape: tuple[int, ...]) -> Tiling:
    """Cuts images into tiles of about equal size, no wider than the ring's planes."""
    batch, height, width, channels = shape
    down = -(-height // _TILE_ROWS)
    across = -(-width // ((_PLANE - LINE) // channels))
    return Tiling(batch * down * across, -(-height // down), -(-width // across))


@cache
def kernel(size: int) -> Callable[..., None]:
    """Returns `filter_tiles(first, last, images, out, ...)` for windows of `size`."""
    stages: dict[str, Any] = {"uint64": uint64, "wide": wide}
    exec(networks.stages(size, _PLANE), stages)
    sort_rows, medians = inner(stages["sort_rows"]), inner(stages["medians"])
    merge_pairs = inner(stages["merge_pairs"])
    lists = len(networks.window_lists(size))
    before, after = size // 2, (size - 1) // 2
    slot = size * _PLANE

    @inner
    def locate(at: np.ndarray, row: int) -> None:
        """Sets `at` to the starts of the lists of the window that ends with `row`."""
        for i in range(lists):
            at[i] = (row + 1 + 2 * i) % size * slot * (1 if 2 * i == size - 1 else 2)

    @njit(nogil=True)
    def filter_tiles(
        first: int,
        last: int,
        images: np.ndarray,
        out: np.ndarray,
        holds_nan: np.ndarray,
        height: int,
        width: int,
        channels: int,
        tile_rows: int,
        tile_columns: int,
    ) -> None:
        wide()
        itemsize = images.itemsize
        rows = scratch(size * slot, images)
        pairs = scratch(2 * size * slot, images)
        line = scratch(_PLANE + _MAX_EDGE + 2 * LINE, images)
        line = line[-before * channels % (LINE // itemsize) :]
        edge_to = np.empty(_MAX_EDGE, np.uint64)
        edge_from = np.empty(_MAX_EDGE, np.uint64)
        at = np.empty(lists, np.uint64)
        across, down = -(-width // tile_columns), -(-height // tile_rows)
        for tile in range(first, last):
            image = tile // (down * across)
            top = tile // across % down * tile_rows
            bottom = min(top + tile_rows, height)
            left = tile % across * tile_columns
            right = min(left + tile_columns, width)
            edges = _find_edges(
                edge_to, edge_from, left - before, right + after, width, channels
            )
            length = (right - left) * channels
            count = np.uint64(whole_vectors(length, itemsize))
            inside_left = max(left - before, 0)
            inside = (min(right + after, width) - inside_left) * channels
            inside_whole = whole_vectors(inside, itemsize)
            offset = (inside_left - left + before) * channels
            # Whole vectors may spill into the next row of the result, which is
            # written later, but not past the tile.
            end = (image * height + bottom) * width * channels if across == 1 else 0
            for row in range(top - before, bottom + after):
                base = (image * height + mirrored(row, height)) * width * channels
                source = base + inside_left * channels
                spills = source + inside_whole <= images.size
                copy(images, source, line, offset, inside_whole if spills else inside)
                if has_nan(line, offset, inside):
                    holds_nan[0] = True
                _mirror_edges(images, base, line, edge_to, edge_from, edges)
                target = np.uint64((row + size) % size * slot)
                sort_rows(line, rows, target, count, np.uint64(channels))
                if row > top - before:
                    above = np.uint64((row + size - 1) % size * slot)
                    merge_pairs(rows, above, target, pairs, np.uint64(2) * above, count)
                if row < top + after:
                    continue
                locate(at, row)
                result = ((image * height + row - after) * width + left) * channels
                if result + count <= end:
                    medians(rows, pairs, at, out, np.uint64(result), count)
                else:
                    medians(rows, pairs, at, line, np.uint64(0), count)
                    copy(line, 0, out, result, length)

    return filter_tiles


@inner
def _mirror_edges(
    images: np.ndarray,
    base: int,
    line: np.ndarray,
    edge_to: np.ndarray,
    edge_from: np.ndarray,
    edges: int,
) -> None:
    start = np.uint64(base)
    for i in range(np.uint64(edges)):
        line[edge_to[i]] = images[start + edge_from[i]]


@inner
def _find_edges(
    edge_to: np.ndarray,
    edge_from: np.ndarray,
    left: int,
    right: int,
    width: int,
    channels: int,
) -> int:
    """Lists the targets and sources of columns from `left` to `right` off the image."""
    edges = 0
    for column in range(left, right):
        if column < 0 or column >= width:
            for channel in range(channels):
                edge_to[edges] = (column - left) * channels + channel
                edge_from[edges] = mirrored(column, width) * channels + channel
                edges += 1
    return edges
