"""The attacks that a certificate can cover."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from keras_maskdef.certification.cell_sets import any_cells, patches
from keras_maskdef.certification.mask_distribution import MaskDistribution
from keras_maskdef.core.arguments import check_choice, check_positive_int
from keras_maskdef.core.image_shape import grid_shape, spatial

THREATS = ("cells", "patch", "aligned_patch")
# More sets or cells than these are a mistake.
_MOST_SETS = 1 << 16
_MOST_CELLS = 1 << 13
_MOST_VIEWS = 1 << 12


@dataclass(frozen=True)
class Attack:
    """An attack of one threat and size, and the sets of cells that it can touch.

    Args:
        threat: Of `THREATS`.
        size: Number of cells, or the side of the patch in pixels.
        sets: Booleans `(sets, cells)`.
    """

    threat: str
    size: int
    sets: np.ndarray


@dataclass(frozen=True)
class _Grid:
    height: int
    width: int
    cell_size: int
    cells: int

    def sets(self, threat: str, size: int) -> np.ndarray:
        if threat == "cells":
            return any_cells(self.cells, size)
        aligned = threat == "aligned_patch"
        return patches(self.height, self.width, self.cell_size, size, aligned)

    def sizes(self, threat: str) -> range:
        return range(
            1, 1 + (self.cells if threat == "cells" else max(self.height, self.width))
        )


def attacks_of(
    threats: Sequence[str],
    sizes: Sequence[int] | Mapping[str, Sequence[int]] | None,
    image_shape: tuple[int, ...],
    mask: Any,
    distribution: MaskDistribution | None,
) -> list[Attack]:
    """The attacks of the given sizes; by default the smallest and all certifiable.

    Args:
        threats: Of `THREATS`.
        sizes: For all threats or by threat, or `None`.
        image_shape: Shape of one image.
        mask: The mask layer.
        distribution: The distribution of its views; `None` for double masking.

    Raises:
        ValueError: For unknown threats, or sizes of which there are too many sets.
    """
    height, width = spatial(image_shape, mask.data_format)
    rows, columns = grid_shape(image_shape, mask.cell_size, mask.data_format)
    grid = _Grid(height, width, mask.cell_size, rows * columns)
    if isinstance(threats, str) or not threats:
        raise ValueError(
            f"`threats` must be some of {THREATS}, in a sequence. "
            f"Received: threats={threats!r}"
        )
    if grid.cells > _MOST_CELLS:
        raise ValueError(
            f"`cell_size` must leave at most {_MOST_CELLS} cells. Received: "
            f"cell_size={mask.cell_size}, which leaves {grid.cells}"
        )
    _check_sizes(threats, sizes)
    attacks = []
    for threat in threats:
        check_choice("threats", threat, THREATS)
        wanted = sizes.get(threat) if isinstance(sizes, Mapping) else sizes
        attacks += (
            _default(grid, threat, distribution)
            if wanted is None
            else [_asked_for(grid, threat, size) for size in sorted({*wanted})]
        )
    return attacks


def _check_sizes(threats: Sequence[str], sizes: Any) -> None:
    by_threat = sizes if isinstance(sizes, Mapping) else dict.fromkeys(threats, sizes)
    for threat, wanted in by_threat.items():
        if threat not in threats:
            raise ValueError(
                f"`sizes` must be of `threats`, {tuple(threats)}. Received: "
                f"sizes={sizes!r}"
            )
        sequence = isinstance(wanted, Sequence) and not isinstance(wanted, str)
        if wanted is not None and not (sequence and len(wanted)):
            raise ValueError(
                "`sizes` must be a sequence of one integer or more. Received: "
                f"sizes={sizes!r}"
            )


def _asked_for(grid: _Grid, threat: str, size: int) -> Attack:
    size = check_positive_int("sizes", size)
    if size > grid.sizes(threat)[-1]:
        raise ValueError(
            f"`sizes` must be at most {grid.sizes(threat)[-1]} for {threat!r}. "
            f"Received: {size}"
        )
    if threat == "cells" and comb(grid.cells, size) > _MOST_SETS:
        raise ValueError(
            f"`sizes` must leave at most {_MOST_SETS} sets of cells. Received: {size} "
            f"of {grid.cells} cells, which are {comb(grid.cells, size)} sets"
        )
    return Attack(threat, size, grid.sets(threat, size))


def _default(
    grid: _Grid, threat: str, distribution: MaskDistribution | None
) -> list[Attack]:
    attacks: list[Attack] = []
    for size in grid.sizes(threat):
        if threat == "cells" and comb(grid.cells, size) > _MOST_SETS:
            break
        attack = Attack(threat, size, grid.sets(threat, size))
        if attacks and not _possible(attack, distribution):
            break
        attacks.append(attack)
    return attacks


def _possible(attack: Attack, distribution: MaskDistribution | None) -> bool:
    if distribution is None:
        # Where two sets hide everything, no cell shows the class.
        return _views(attack) <= _MOST_VIEWS and not _hide_all(attack.sets)
    return distribution.hidden(int(attack.sets.sum(axis=1).max())) > 0.5


def _hide_all(sets: np.ndarray) -> bool:
    return bool((sets[:, None] | sets).all(axis=-1).any())


def _views(attack: Attack) -> int:
    """How many views double masking predicts, at most."""
    sets, cells = attack.sets.shape
    pairs = sets * (sets + 1) // 2
    touched = 2 * int(attack.sets.sum(axis=1).max())
    if attack.threat != "cells":
        return pairs
    return min(pairs, sum(comb(cells, n) for n in range(1, min(cells, touched) + 1)))
