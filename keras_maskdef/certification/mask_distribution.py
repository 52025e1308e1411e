"""The probability that a random mask hides given cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from keras_maskdef.core.arguments import (
    check_fraction,
    check_int,
    check_not_negative,
    check_positive_int,
)

# Up to this many cells the binomial formula is right to the last digits.
_FEW = 64
_ROUNDING = 1e-9


@dataclass(frozen=True)
class MaskDistribution:
    """How many cells a random mask shows; every set of that many is equally likely.

    Certificates need only the probability that an attacker's cells are all hidden: then
    the view is the same as without the attack.

    Args:
        visible: Probability of each number of visible cells, from none to all.

    Raises:
        ValueError: If these are no probabilities, or do not sum to 1.

    Example:

    >>> masks = MaskDistribution.bernoulli(cells=16, mask_rate=0.75)
    >>> round(masks.hidden(2), 6), masks.largest
    (0.5625, 2)
    """

    visible: tuple[float, ...]

    def __post_init__(self) -> None:
        shares = tuple(check_not_negative("visible", share) for share in self.visible)
        if len(shares) < 2 or abs(sum(shares) - 1.0) > 1e-9:
            raise ValueError(
                "`visible` must hold the probability of each number of visible cells, "
                f"from 0 to all, and sum to 1. Received: visible={self.visible}"
            )
        total = sum(shares)
        object.__setattr__(self, "visible", tuple(share / total for share in shares))

    @classmethod
    def bernoulli(cls, cells: int, mask_rate: float) -> "MaskDistribution":
        """Each cell is hidden independently, with probability `mask_rate` (MAD)."""
        cells = check_positive_int("cells", cells)
        hide = check_fraction("mask_rate", mask_rate)
        if cells > _FEW:
            from scipy import stats  # half a second

            return cls(tuple(stats.binom.pmf(range(cells + 1), cells, 1.0 - hide)))
        return cls(
            tuple(
                comb(cells, shown) * (1.0 - hide) ** shown * hide ** (cells - shown)
                for shown in range(cells + 1)
            )
        )

    @classmethod
    def fixed_count(cls, cells: int, mask_rate: float) -> "MaskDistribution":
        """`round(mask_rate * cells)` cells are hidden, as in `RandomGridMask`."""
        cells = check_positive_int("cells", cells)
        hide = check_fraction("mask_rate", mask_rate)
        hidden = int(np.round(np.float32(cells) * np.float32(hide)))
        return cls.showing(cells, cells - hidden)

    @classmethod
    def showing(cls, cells: int, visible: int) -> "MaskDistribution":
        """Exactly `visible` of the cells are visible."""
        visible = check_int("visible", visible, 0, check_positive_int("cells", cells))
        counts = [0.0] * (cells + 1)
        counts[visible] = 1.0
        return cls(tuple(counts))

    @property
    def cells(self) -> int:
        return len(self.visible) - 1

    def hidden(self, count: int) -> float:
        """Probability that `count` given cells are all hidden.

        `mask_rate ** count` for Bernoulli masks; `C(cells - count, visible) / C(cells,
        visible)` for masks of a fixed count (Levine and Feizi).
        """
        count = check_int("count", count, 0)
        others = self.cells - np.arange(self.cells + 1)  # hidden cells of a mask
        ways = np.array(self.visible)
        for taken in range(min(count, self.cells)):
            ways = ways * np.maximum(0, others - taken) / (self.cells - taken)
        return float(ways.sum()) if count <= self.cells else 0.0

    @property
    def largest(self) -> int:
        """The most cells that any certificate from such masks can cover.

        An attacker decides every view in which one of the cells is visible. With half
        of the views, the attacker decides the vote.
        """
        count = 0
        while count < self.cells and self.hidden(count + 1) > 0.5 + _ROUNDING:
            count += 1
        return count

    def probabilities(self, shown: Sequence[int] | np.ndarray) -> np.ndarray:
        """Probabilities of single masks, by their numbers of visible cells."""
        of_one_mask = [p / comb(self.cells, n) for n, p in enumerate(self.visible)]
        return np.asarray(of_one_mask)[np.asarray(shown)]


def hidden_probabilities(
    distribution: MaskDistribution, sets: np.ndarray
) -> np.ndarray:
    """The probability that each set is hidden, `(sets,)`; it depends on its size."""
    sizes, place = np.unique(sets.sum(axis=1), return_inverse=True)
    return np.array([distribution.hidden(int(size)) for size in sizes])[place]
