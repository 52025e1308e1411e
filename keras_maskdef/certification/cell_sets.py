"""Sets of cells of a grid that an attack can touch."""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from keras_maskdef.certification.mask_distribution import MaskDistribution
from keras_maskdef.core.arguments import check_positive_int


def any_cells(cells: int, count: int) -> np.ndarray:
    """All sets of `count` cells: what an attack on any `count` cells can touch.

    They also cover an attack on any `count` pixels, which lie in at most `count` cells.

    Args:
        cells: Integer, cells of the grid.
        count: Integer, at least 1; more than `cells` means all cells.

    Returns:
        Booleans `(sets, cells)`.

    Example:

    >>> any_cells(3, 2).astype(int)
    array([[1, 1, 0],
           [1, 0, 1],
           [0, 1, 1]])
    """
    cells = check_positive_int("cells", cells)
    count = min(cells, check_positive_int("count", count))
    sets = np.zeros((comb(cells, count), cells), bool)
    for row, chosen in enumerate(combinations(range(cells), count)):
        sets[row, list(chosen)] = True
    return sets


def patches(
    height: int, width: int, cell_size: int, size: int, aligned: bool = False
) -> np.ndarray:
    """The sets of cells that a square patch can touch, at any place.

    Each set has at most `(ceil((size - 1) / cell_size) + 1) ** 2` cells; for an aligned
    patch, at most `ceil(size / cell_size) ** 2`.

    Args:
        height: Integer, rows of pixels.
        width: Integer, columns of pixels.
        cell_size: Integer, the side of a cell in pixels; the last row and column of
            cells may be cut.
        size: Integer, the side of the patch in pixels. A patch larger than the image
            touches all of it.
        aligned: Whether the patch begins where a cell begins.

    Returns:
        Booleans `(sets, cells)`, the cells row by row, without sets within other sets.

    Example:

    >>> patches(height=28, width=28, cell_size=7, size=8).sum(axis=1)
    array([4, 4, 4, 4, 4, 4, 4, 4, 4])
    """
    for name, value in (("height", height), ("width", width)):
        check_positive_int(name, value)
    cell_size = check_positive_int("cell_size", cell_size)
    size = check_positive_int("size", size)
    down, across = (_spans(side, cell_size, size, aligned) for side in (height, width))
    # No span lies within another, so no product of spans does.
    sets = down[:, None, :, None] & across[None, :, None, :]
    return sets.reshape(len(down) * len(across), -1)


def check_families(
    families: Sequence[np.ndarray], distribution: MaskDistribution
) -> None:
    """Checks that there are sets, of as many cells as the distribution has."""
    shapes = [np.shape(sets) for sets in families]
    fit = all(len(shape) == 2 and shape[1] == distribution.cells for shape in shapes)
    if not fit or not sum(shape[0] for shape in shapes):
        raise ValueError(
            f"`families` must be booleans (sets, {distribution.cells}), with at least "
            f"one set. Received: shapes {shapes}"
        )


def _spans(side: int, cell_size: int, size: int, aligned: bool) -> np.ndarray:
    """Rows (or columns) of cells that a patch touches, for each place along a side."""
    starts = range(0, side, cell_size) if aligned else range(max(1, side - size + 1))
    cells = -(-side // cell_size)
    touched = np.zeros((len(starts), cells), bool)
    for row, start in enumerate(starts):
        last = min(start + size, side) - 1
        touched[row, start // cell_size : last // cell_size + 1] = True
    return _largest(touched)


def _largest(sets: np.ndarray) -> np.ndarray:
    """Leaves out repetitions and sets that lie within others."""
    sets = np.unique(sets, axis=0)[::-1]
    common = sets.astype(int) @ sets.T.astype(int)
    inside = common == sets.sum(axis=1)[:, None]
    np.fill_diagonal(inside, False)
    return sets[~inside.any(axis=1)]
