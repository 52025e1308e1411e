"""Certificates from all masks: no sampling, no probability of failure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_maskdef.certification.cell_sets import check_families
from keras_maskdef.certification.mask_distribution import (
    MaskDistribution,
    hidden_probabilities,
)
from keras_maskdef.core.arguments import check_int
from keras_maskdef.core.former_names import renamed_arguments
from keras_maskdef.kernels import superset_sums

# Every mask is one bit pattern of a table; 20 cells make a million.
MOST_CELLS = 20
ABSTAINS = -1
# Sums of up to 2**20 probabilities have a smaller error: superset sums by far, the
# running sums of `_winner` 9.4e-13 in the worst case measured.
_ROUNDING = 1e-12


class Proof(NamedTuple):
    """Predictions for some images, and what is proven of them.

    Args:
        predicted: Classes, integers `(images,)`, or `ABSTAINS`.
        certified: Booleans `(families, images)`: whether no attack on any set of the
            family can change the prediction.
    """

    predicted: np.ndarray
    certified: np.ndarray


@renamed_arguments(law="distribution")
def exact(
    labels: np.ndarray,
    distribution: MaskDistribution,
    families: Sequence[np.ndarray],
    classes: int,
) -> Proof:
    """Certifies the vote of all masks, from the answer under each mask.

    For a set S of cells, let `q_c(S)` be the probability that the mask hides all of S
    and the answer is `c`. An attack on S leaves those views as they are and decides all
    others, whose probability is `1 - h(S)`. So the prediction A stands if and only if

        q_A(S) - q_b(S) > 1 - h(S)    for every other class b,

    It is certified for a family of sets if that holds for each set. Against attackers
    who can choose any answer in the views that they reach, this is not only sound but
    tight. All `q(S)` come from one superset-sum transform.

    Args:
        labels: Integers `(images, 2 ** cells)`: the answer under each mask, in which
            cell i is hidden where bit i of the place is set.
        distribution: The mask distribution, of at most 20 cells.
        families: For each family, booleans `(sets, cells)`.
        classes: Integer, number of classes.

    Returns:
        Predictions and certificates. It abstains where the best two classes tie.

    Raises:
        ValueError: If the shapes do not fit, or there are more than 20 cells.

    Example:

    >>> masks = MaskDistribution.bernoulli(cells=2, mask_rate=0.75)
    >>> cells = [np.eye(2, dtype=bool)]
    >>> proof = exact(np.array([[1, 1, 1, 1]]), masks, cells, classes=3)
    >>> proof.predicted, proof.certified
    (array([1]), array([[ True]]))

    Reference:
        Beyond the papers. With `1 - h` over all sets alike it is the rule of Levine and
        Feizi: Robustness Certificates for Sparse Adversarial Attacks by Randomized
        Ablation, AAAI 2020; for independent cells, of Scholten et al.: Hierarchical
        Randomized Smoothing, NeurIPS 2023.
    """
    labels = np.asarray(labels)
    _check(labels, distribution)
    rule = ExactRule(distribution, families, classes)
    proofs = [rule.prove(answers) for answers in labels]
    predicted = np.array([top for top, _ in proofs], int)
    certified = np.array([stands for _, stands in proofs], bool)
    return Proof(predicted, certified.reshape(len(labels), len(families)).T)


class ExactRule:
    """`exact`, which computes once what all images share.

    Args:
        distribution: As `exact` takes it.
        families: As `exact` takes them.
        classes: Integer, number of classes.
    """

    def __init__(
        self,
        distribution: MaskDistribution,
        families: Sequence[np.ndarray],
        classes: int,
    ) -> None:
        check_cells(distribution.cells)
        check_families(families, distribution)
        self._classes = check_int("classes", classes, 2)
        shown = distribution.cells - _set_bits(distribution.cells)
        self._weights = distribution.probabilities(shown)
        self._places = np.concatenate([_places(sets) for sets in families])
        self._lost = 1.0 - hidden_probabilities(distribution, np.concatenate(families))
        self._ends = np.cumsum([len(sets) for sets in families])[:-1]

    def prove(self, answers: np.ndarray) -> tuple[int, np.ndarray]:
        """The prediction for one image, and whether each family is certified.

        Args:
            answers: Integers `(2 ** cells,)`.
        """
        shares = np.bincount(answers, self._weights, minlength=self._classes)
        top = _winner(shares)
        if top == ABSTAINS:
            return top, np.zeros(len(self._ends) + 1, bool)
        # All classes that no view answers are the same rival, without votes.
        best = np.zeros(len(self._places))
        for label in np.flatnonzero(shares):
            if label != top:
                np.maximum(best, self._while_hidden(answers == label), out=best)
        ahead = self._while_hidden(answers == top) - best
        stands = ahead > self._lost + _ROUNDING
        return top, np.array([part.all() for part in np.split(stands, self._ends)])

    def _while_hidden(self, voted: np.ndarray) -> np.ndarray:
        """The share of views that hide each set and have these votes."""
        return superset_sums(np.where(voted, self._weights, 0.0))[self._places]


def _winner(shares: np.ndarray) -> int:
    second, first = np.partition(shares, -2)[-2:]
    return int(shares.argmax()) if first - second > _ROUNDING else ABSTAINS


def _places(sets: np.ndarray) -> np.ndarray:
    """The bit pattern of each set."""
    return sets @ (1 << np.arange(sets.shape[1]))


def _set_bits(cells: int) -> np.ndarray:
    """How many bits are set in each pattern of `cells` bits."""
    counts = np.zeros(1, int)
    for _ in range(cells):
        counts = np.concatenate([counts, counts + 1])
    return counts


def _check(labels: np.ndarray, distribution: MaskDistribution) -> None:
    check_cells(distribution.cells)
    if labels.ndim != 2 or labels.shape[1] != 2**distribution.cells:
        raise ValueError(
            f"`labels` must be (images, {2**distribution.cells}), one for each mask of "
            f"{distribution.cells} cells. Received: labels.shape={labels.shape}"
        )


def check_cells(cells: int) -> None:
    """Checks that a grid has few enough masks to go through all."""
    if cells > MOST_CELLS:
        raise ValueError(
            f"An exact certificate needs at most {MOST_CELLS} cells, or there are too "
            'many masks to go through; use larger cells, or `method="per_set"`. '
            f"Received: {cells} cells"
        )
