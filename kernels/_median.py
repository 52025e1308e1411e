"""The median of square windows on a CPU, row by row.

Going down an image, each row is read once, its windows of `size` values are sorted into
a ring of the last `size` sorted rows, and the medians of one row of the result are
taken from the ring. `_median_networks` writes the three inner loops.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types, uint64
from numba.extending import intrinsic

from . import _median_networks as networks

# Elements of a plane of the ring. A power of two would put the planes on the same lines
# of the first cache, and make loads wait for stores to other planes.
_PLANE = 1040
_LINE = 64  # bytes of a cache line and of the widest vector
_TILE_ROWS = 64
_MAX_EDGE = 6 * 8  # elements a row is longer by, size - 1 columns of up to 8 channels

_jit = njit(nogil=True)
# Called from other kernels only: no wrapper for Python to compile, and no calls left,
# which would pass every array in seven words a row.
_inner = njit(nogil=True, forceinline=True, no_cpython_wrapper=True)


def _lower_wide(typing_context: Any) -> Any:
    """Lets the function that calls it use 64-byte vectors where the CPU has them.

    By default LLVM stops at 32 bytes even there. Measured with AVX-512: 10 to 15 %
    off the 3x3 median of float32 and uint8.
    """

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Past llvmlite's list of known names, which lacks this one.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), lower


_wide: Any = intrinsic(_lower_wide)


class Tiling(NamedTuple):
    """Tiles of `rows` x `columns` pixels, `total` of them in the batch."""

    total: int
    rows: int
    columns: int


def tiling(shape: tuple[int, ...]) -> Tiling:
    """Cuts images into tiles of about equal size, no wider than the ring's planes."""
    batch, height, width, channels = shape
    down = -(-height // _TILE_ROWS)
    across = -(-width // ((_PLANE - _LINE) // channels))
    return Tiling(batch * down * across, -(-height // down), -(-width // across))


@cache
def kernel(size: int) -> Callable[..., None]:
    """Returns `filter_tiles(first, last, images, out, ...)` for windows of `size`."""
    stages: dict[str, Any] = {"uint64": uint64, "wide": _wide}
    exec(networks.stages(size, _PLANE), stages)
    sort_rows, medians = _inner(stages["sort_rows"]), _inner(stages["medians"])
    paired = size >= networks.SMALLEST_PAIRED
    merge_pairs = _inner(stages["merge_pairs"]) if paired else None
    lists = len(networks.window_lists(size))
    before, after = size // 2, (size - 1) // 2
    slot = size * _PLANE

    @_inner
    def locate(at: np.ndarray, row: int) -> None:
        """Sets where the lists begin of the window that ends with `row`."""
        for i in range(lists):
            top = row + 1 + (2 * i if paired else i)
            single = not paired or 2 * i == size - 1
            at[i] = top % size * slot * (1 if single else 2)

    @_jit
    def filter_tiles(
        first: int,
        last: int,
        images: np.ndarray,
        out: np.ndarray,
        height: int,
        width: int,
        channels: int,
        tile_rows: int,
        tile_columns: int,
    ) -> None:
        _wide()
        lane = _LINE // images.itemsize
        rows = _scratch(size * slot, images)
        pairs = _scratch(2 * size * slot if paired else 0, images)
        line = _scratch(_PLANE + _MAX_EDGE + 2 * _LINE, images)
        line = line[-before * channels % lane :]
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
            count = np.uint64(-(-length // lane) * lane)
            # Whole vectors may spill into the next row of the result, which comes
            # later, but not past the tile.
            end = (image * height + bottom) * width * channels if across == 1 else 0
            for row in range(top - before, bottom + after):
                base = (image * height + _mirrored(row, height)) * width * channels
                _read_row(
                    images,
                    base,
                    line,
                    left - before,
                    right + after,
                    width,
                    channels,
                    lane,
                    edge_to,
                    edge_from,
                    edges,
                )
                target = np.uint64((row + size) % size * slot)
                sort_rows(line, rows, target, count, np.uint64(channels))
                if paired and row > top - before:
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
                    _copy(line, 0, out, result, length)

    return filter_tiles


@_inner
def _scratch(length: int, like: np.ndarray) -> np.ndarray:
    """Returns an array that begins with a cache line."""
    scratch = np.empty(length + _LINE, like.dtype)
    start = -scratch.ctypes.data % _LINE // like.itemsize
    return scratch[start : start + length]


@_inner
def _read_row(
    images: np.ndarray,
    base: int,
    line: np.ndarray,
    left: int,
    right: int,
    width: int,
    channels: int,
    lane: int,
    edge_to: np.ndarray,
    edge_from: np.ndarray,
    edges: int,
) -> None:
    """Copies columns `left` to `right` of the row at `base`, mirrored, into `line`."""
    inner_left, inner_right = max(left, 0), min(right, width)
    source, count = base + inner_left * channels, (inner_right - inner_left) * channels
    vectors = -(-count // lane) * lane
    if source + vectors <= images.size:
        count = vectors
    _copy(images, source, line, (inner_left - left) * channels, count)
    start = np.uint64(base)
    for i in range(np.uint64(edges)):
        line[edge_to[i]] = images[start + edge_from[i]]


@_inner
def _find_edges(
    edge_to: np.ndarray,
    edge_from: np.ndarray,
    left: int,
    right: int,
    width: int,
    channels: int,
) -> int:
    """Lists what mirrors the columns from `left` to `right` that are no columns."""
    found = 0
    for column in range(left, right):
        if column < 0 or column >= width:
            for channel in range(channels):
                edge_to[found] = (column - left) * channels + channel
                edge_from[found] = _mirrored(column, width) * channels + channel
                found += 1
    return found


@_inner
def _copy(
    source: np.ndarray, start: int, target: np.ndarray, offset: int, count: int
) -> None:
    _wide()
    begin, to = np.uint64(start), np.uint64(offset)
    for i in range(np.uint64(count)):
        target[to + i] = source[begin + i]


@_inner
def _mirrored(index: int, length: int) -> int:
    if index < 0:
        return -index - 1
    return index if index < length else 2 * length - 1 - index
