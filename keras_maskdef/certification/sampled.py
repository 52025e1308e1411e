"""Certificates from random masks, each wrong with a probability of `alpha` at most.

The rules share one sample: the answers under masks drawn independently from the given
distribution, after other masks chose the class A to certify.
"""

from collections.abc import Sequence

import numpy as np

from keras_maskdef.certification.bounds import lower_bound, upper_bound
from keras_maskdef.certification.cell_sets import check_families
from keras_maskdef.certification.mask_distribution import (
    MaskDistribution,
    hidden_probabilities,
)
from keras_maskdef.core.arguments import check_int
from keras_maskdef.core.former_names import renamed_arguments

# Numbers of a table that are processed at once: 32 MiB.
_AT_ONCE = 1 << 22


@renamed_arguments(law="distribution")
def majority(
    counts: np.ndarray,
    top: int,
    distribution: MaskDistribution,
    sizes: Sequence[int],
    alpha: float,
) -> np.ndarray:
    """Certifies A if it keeps the majority without the views that an attack decides.

    An attack on k cells decides every view that does not hide all k, `1 - h(k)` of all,
    with `h(k) = m ** k` for Bernoulli masks of rate m. So A stands if its probability
    is above `1/2 + 1 - h(k)`.

    Args:
        counts: Integers `(classes,)`: the answers under independent masks.
        top: Integer, the class A.
        distribution: The mask distribution.
        sizes: Integers: numbers of cells k. 0 asks whether A is the prediction.
        alpha: Float in (0, 1): the largest probability to certify anything wrong.

    Returns:
        Booleans `(sizes,)`.

    Example:

    >>> masks = MaskDistribution.bernoulli(cells=16, mask_rate=0.75)
    >>> majority(np.array([25, 0]), 0, masks, sizes=[1, 2], alpha=1e-3)
    array([ True, False])

    Reference:
        Levine and Feizi: Robustness Certificates for Sparse Adversarial Attacks by
        Randomized Ablation, AAAI 2020, Theorem 1, with masks of a fixed count.
    """
    lower = lower_bound(counts[top], counts.sum(), alpha)
    return np.array([bool(lower > 1.5 - distribution.hidden(size)) for size in sizes])


@renamed_arguments(law="distribution")
def margin(
    counts: np.ndarray,
    top: int,
    distribution: MaskDistribution,
    sizes: Sequence[int],
    alpha: float,
) -> np.ndarray:
    """Certifies A if it leads every other class by more than an attack can move.

    As `majority`, with bounds for all classes, each at `alpha / classes`: A stands if
    its lower bound exceeds the largest upper bound of the others by `2 (1 - h(k))`. It
    asks less of A where the other answers are spread over several classes.

    Args:
        counts: Integers `(classes,)`: the answers under independent masks.
        top: Integer, the class A.
        distribution: The mask distribution.
        sizes: Integers: numbers of cells k. 0 asks whether A is the prediction.
        alpha: Float in (0, 1): the largest probability to certify anything wrong.

    Returns:
        Booleans `(sizes,)`.

    Reference:
        Scholten et al.: Hierarchical Randomized Smoothing, NeurIPS 2023, for cells
        that are hidden independently.
    """
    check_int("classes", len(counts), 2)
    lower, upper = _bounds(counts[None], top, counts.sum(), alpha)
    ahead = float(lower[0] - upper[0])
    return np.array([ahead > 2.0 * (1.0 - distribution.hidden(size)) for size in sizes])


@renamed_arguments(law="distribution")
def per_set(
    hidden: np.ndarray,
    answers: np.ndarray,
    top: int,
    distribution: MaskDistribution,
    families: Sequence[np.ndarray],
    classes: int,
    alpha: float,
) -> np.ndarray:
    """Certifies A against each set of cells by the views that hide all of the set.

    With enough masks it is the tightest of the sampled rules. It is the rule of `exact`
    with bounds in place of shares: for every set S and every other class b,

        h(S) (P(A | S hidden) - P(b | S hidden)) > 1 - h(S).

    The drawn masks that hide S are a sample of the masks given that they hide S, so one
    sample serves all sets. A set that is hidden too seldom for that cannot be certified
    in any way, since `h(S)` must be above 1/2. Every bound holds at `alpha / (sets *
    classes)`, over all families together.

    Args:
        hidden: Booleans `(masks, cells)`: the cells that each mask hides.
        answers: Integers `(masks,)`: the answers under them.
        top: Integer, the class A.
        distribution: The mask distribution.
        families: For each family, booleans `(sets, cells)`.
        classes: Integer, number of classes.
        alpha: Float in (0, 1): the largest probability to certify anything wrong.

    Returns:
        Booleans `(families,)`: whether A is certified against every set of a family.

    Reference:
        Beyond the papers, see `exact`.
    """
    check_families(families, distribution)
    classes = check_int("classes", classes, 2)
    if not 0 <= np.min(answers, initial=0) <= np.max(answers, initial=0) < classes:
        raise ValueError(
            f"`answers` must be classes, from 0 to {classes - 1}. Received: from "
            f"{np.min(answers)} to {np.max(answers)}"
        )
    once = np.ones(len(answers), int)
    sets = np.concatenate(families)
    counts = counts_given(hidden, answers, once, sets, classes)
    return per_set_of(counts, top, distribution, families, alpha)


def per_set_of(
    counts: np.ndarray,
    top: int,
    distribution: MaskDistribution,
    families: Sequence[np.ndarray],
    alpha: float,
) -> np.ndarray:
    """`per_set` from `counts_given` of the sets of all families, in their order."""
    sets = np.concatenate(families)
    lower, upper = _bounds(counts, top, counts.sum(axis=1), alpha / len(sets))
    h = hidden_probabilities(distribution, sets)
    stands = h * (lower - upper) > 1.0 - h
    ends = np.cumsum([len(family) for family in families])[:-1]
    return np.array([part.all() for part in np.split(stands, ends)])


def counts_given(
    hidden: np.ndarray,
    answers: np.ndarray,
    times: np.ndarray,
    sets: np.ndarray,
    classes: int,
) -> np.ndarray:
    """Answers under the masks that hide each set, integers `(sets, classes)`.

    Args:
        hidden: Booleans `(masks, cells)`: the cells that each mask hides.
        answers: Integers `(masks,)`: the answers under them.
        times: Integers `(masks,)`: how often each mask was drawn.
        sets: Booleans `(sets, cells)`.
        classes: Integer, number of classes.
    """
    counts = np.zeros((len(sets), classes), int)
    rows = max(1, _AT_ONCE // max(hidden.shape[1], classes))
    for start in range(0, len(hidden), rows):
        some = slice(start, start + rows)
        _count(counts, hidden[some], answers[some], times[some], sets)
    return counts


def _count(
    counts: np.ndarray,
    hidden: np.ndarray,
    answers: np.ndarray,
    times: np.ndarray,
    sets: np.ndarray,
) -> None:
    """Adds the answers under some of the masks to the counts."""
    # In float32 the 16,777,217th vote would not count.
    votes = np.zeros((len(hidden), counts.shape[1]))
    votes[np.arange(len(hidden)), answers] = times
    shown = hidden.T.astype("float32")
    step = max(1, _AT_ONCE // len(hidden))
    for start in range(0, len(sets), step):
        some = sets[start : start + step]
        covered = some.astype("float32") @ shown >= some.sum(axis=1, keepdims=True)
        counts[start : start + step] += (covered.astype("float64") @ votes).astype(int)


@renamed_arguments(law="distribution")
def masks_needed(distribution: MaskDistribution, size: int, alpha: float) -> int | None:
    """The fewest masks that `majority` needs, if all answers agree.

    Args:
        distribution: The mask distribution.
        size: Integer, the number of cells k.
        alpha: Float in (0, 1).

    Returns:
        An integer, or `None` where no number is enough.

    Example:

    >>> masks = MaskDistribution.bernoulli(cells=16, mask_rate=0.75)
    >>> [masks_needed(masks, k, alpha=1e-3) for k in (1, 2, 3)]
    [25, 108, None]
    """
    wanted = 1.5 - distribution.hidden(size)
    if wanted >= 1.0 - 1e-9:  # up to rounding
        return None
    # Of n equal answers the lower bound is alpha ** (1 / n).
    masks = int(np.log(alpha) / np.log(wanted))
    while not lower_bound(masks, masks, alpha) > wanted:
        masks += 1
    return masks


def _bounds(
    counts: np.ndarray, top: int, trials: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lower bounds of A and upper bounds of its best rival, for `(sets, classes)`."""
    level = alpha / counts.shape[-1]
    lower = lower_bound(counts[:, top], trials, level)
    others = np.delete(counts, top, axis=-1)
    return lower, upper_bound(others.max(axis=-1), trials, level)
