"""The certificate from all masks: no sampling, no probability of failure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_maskdef.certification.mask_law import MaskLaw

# Every mask of so many cells is one bit pattern of a table; 20 make a million.
MOST_CELLS = 20
ABSTAINS = -1
# Sums of 2**20 probabilities, pairwise in 20 steps, are closer to the truth than this.
_ROUNDING = 1e-12


class Proof(NamedTuple):
    """What is proven of some images.

    Args:
        predicted: Classes, integers `(images,)`, or `ABSTAINS`.
        certified: Booleans `(families, images)`: whether no attack on any set of the
            family can change the prediction.
    """

    predicted: np.ndarray
    certified: np.ndarray


def exact(
    labels: np.ndarray,
    law: MaskLaw,
    families: Sequence[np.ndarray],
    classes: int,
) -> Proof:
    """Certifies the vote of all masks, from the answer under each of them.

    For a set S of cells, let `q_c(S)` be the probability that the mask hides all of S
    and the answer is `c`. An attack on S leaves those views as they are and decides all
    others, whose probability is `1 - h(S)`. So the prediction A stands if and only if

        q_A(S) - q_b(S) > 1 - h(S)    for every other class b,

    and it is certified for a family of sets if that holds for each of them. Against
    attackers who can give any answer in the views that they reach, this is not only
    sound but tight. All `q(S)` come from one superset-sum transform.

    Args:
        labels: Integers `(images, 2 ** cells)`: the answer under each mask, in which
            cell i is hidden where bit i of the place is set.
        law: With what probability masks are drawn, of at most 20 cells.
        families: For each, booleans `(sets, cells)`.
        classes: Integer, number of classes.

    Returns:
        Predictions and certificates. It abstains where two classes have as many votes.

    Raises:
        ValueError: If the shapes do not fit, or there are more than 20 cells.

    Example:

    >>> law = MaskLaw.bernoulli(cells=2, mask_rate=0.75)
    >>> proof = exact(np.array([[1, 1, 1, 1]]), law, [np.eye(2, dtype=bool)], classes=3)
    >>> proof.predicted, proof.certified
    (array([1]), array([[ True]]))

    Reference:
        Beyond the papers; the rule with `1 - h` over all sets alike is that of Levine
        and Feizi: Robustness Certificates for Sparse Adversarial Attacks by Randomized
        Ablation, AAAI 2020, and of Scholten et al., NeurIPS 2022, for independent
        masks.
    """
    labels = np.asarray(labels)
    _check(labels, law, families)
    weights = law.probabilities(law.cells - _set_bits(law.cells))
    places = [_places(sets) for sets in families]
    hidden = [
        np.array([law.hidden(int(count)) for count in sets.sum(axis=1)])
        for sets in families
    ]
    predicted = np.empty(len(labels), int)
    certified = np.zeros((len(families), len(labels)), bool)
    for image, answers in enumerate(labels):
        shares = np.bincount(answers, weights, minlength=classes)
        top = predicted[image] = _winner(shares)
        if top == ABSTAINS:
            continue
        ahead = _ahead(answers, weights, top, places)
        certified[:, image] = [
            bool((margin > 1.0 - h + _ROUNDING).all())
            for margin, h in zip(ahead, hidden, strict=True)
        ]
    return Proof(predicted, certified)


def superset_sums(values: np.ndarray) -> np.ndarray:
    """For each bit pattern, the sum of the values of all patterns that contain it.

    Args:
        values: Floats or integers `(2 ** n,)`.

    Returns:
        An array like `values`, in `n * 2 ** (n - 1)` additions.

    Example:

    >>> superset_sums(np.array([1, 2, 4, 8]))
    array([15, 10, 12,  8])
    """
    sums = np.array(values)
    half = 1
    while half < len(sums):
        pairs = sums.reshape(-1, 2, half)
        pairs[:, 0] += pairs[:, 1]
        half *= 2
    return sums


def _ahead(
    answers: np.ndarray, weights: np.ndarray, top: int, places: list[np.ndarray]
) -> list[np.ndarray]:
    """By how much the prediction leads while each set is hidden, one class at a time.

    A class that no view answers is as good a rival as any: it has no votes.
    """
    wanted = np.concatenate(places)

    def sums(label: int) -> np.ndarray:
        return superset_sums(np.where(answers == label, weights, 0.0))[wanted]

    rivals = [int(label) for label in np.unique(answers) if label != top]
    best = np.zeros(len(wanted))
    for label in rivals:
        np.maximum(best, sums(label), out=best)
    ends = np.cumsum([len(each) for each in places])[:-1]
    return np.split(sums(top) - best, ends)


def _winner(shares: np.ndarray) -> int:
    second, first = np.partition(shares, -2)[-2:]
    return int(shares.argmax()) if first - second > _ROUNDING else ABSTAINS


def _places(sets: np.ndarray) -> np.ndarray:
    """The bit pattern of each set."""
    return sets @ (1 << np.arange(sets.shape[1]))


def _set_bits(cells: int) -> np.ndarray:
    """How many bits are set in each pattern of so many."""
    counts = np.zeros(1, int)
    for _ in range(cells):
        counts = np.concatenate([counts, counts + 1])
    return counts


def _check(labels: np.ndarray, law: MaskLaw, families: Sequence[np.ndarray]) -> None:
    check_cells(law.cells)
    if labels.ndim != 2 or labels.shape[1] != 2**law.cells:
        raise ValueError(
            f"`labels` must be (images, {2**law.cells}), one for each mask of "
            f"{law.cells} cells. Received: labels.shape={labels.shape}"
        )
    if any(sets.ndim != 2 or sets.shape[1] != law.cells for sets in families):
        raise ValueError(
            f"`families` must be booleans (sets, {law.cells}). Received: shapes "
            f"{[sets.shape for sets in families]}"
        )


def check_cells(cells: int) -> None:
    """That all masks of a grid can be gone through."""
    if cells > MOST_CELLS:
        raise ValueError(
            f"An exact certificate needs at most {MOST_CELLS} cells, or there are too "
            'many masks to go through; use larger cells, or `method="per_set"`. '
            f"Received: {cells} cells"
        )
