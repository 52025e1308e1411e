"""Certificates from masks drawn at random, each wrong with a probability of `alpha`.

They share one sample: the answers under masks that were drawn independently, from the
law that they are told, after the class A to certify was chosen by other ones.
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

# Numbers of a table that is looked at at once: 32 MiB.
_AT_ONCE = 1 << 22


def majority(
    counts: np.ndarray,
    top: int,
    law: MaskDistribution,
    sizes: Sequence[int],
    alpha: float,
) -> np.ndarray:
    """Certifies A if it has most views even when those of the attack are lost.

    An attack on k cells decides every view but those that hide all of them, `1 - h(k)`
    of all, with `h(k) = m ** k` for Bernoulli masks of rate m. So A stands if its
    probability is above `1/2 + 1 - h(k)`.

    Args:
        counts: Integers `(classes,)`: the answers under independent masks.
        top: Integer, the class A.
        law: What the masks were drawn from.
        sizes: Integers: numbers of cells k. 0 asks whether A is the prediction.
        alpha: Float in (0, 1): the probability to certify anything that is wrong.

    Returns:
        Booleans `(sizes,)`.

    Example:

    >>> law = MaskDistribution.bernoulli(cells=16, mask_rate=0.75)
    >>> majority(np.array([25, 0]), 0, law, sizes=[1, 2], alpha=1e-3)
    array([ True, False])

    Reference:
        Levine and Feizi: Robustness Certificates for Sparse Adversarial Attacks by
        Randomized Ablation, AAAI 2020, Theorem 1, whose masks show a fixed number.
    """
    own = lower_bound(counts[top], counts.sum(), alpha)
    return np.array([bool(own > 1.5 - law.hidden(size)) for size in sizes])


def margin(
    counts: np.ndarray,
    top: int,
    law: MaskDistribution,
    sizes: Sequence[int],
    alpha: float,
) -> np.ndarray:
    """Certifies A if it leads every other class by more than the attack can move.

    As `majority`, with bounds for all classes, each at `alpha / classes`: A stands if
    its lower bound is above the largest upper one of the others by `2 (1 - h(k))`. It
    asks less of A where the other answers are spread over several classes.

    Args:
        counts: Integers `(classes,)`: the answers under independent masks.
        top: Integer, the class A.
        law: What the masks were drawn from.
        sizes: Integers: numbers of cells k. 0 asks whether A is the prediction.
        alpha: Float in (0, 1): the probability to certify anything that is wrong.

    Returns:
        Booleans `(sizes,)`.

    Reference:
        Scholten et al.: Hierarchical Randomized Smoothing, NeurIPS 2023, for cells
        that are hidden independently.
    """
    check_int("classes", len(counts), 2)
    own, rival = _bounds(counts[None], top, counts.sum(), alpha)
    ahead = float(own[0] - rival[0])
    return np.array([ahead > 2.0 * (1.0 - law.hidden(size)) for size in sizes])


def per_set(
    hidden: np.ndarray,
    answers: np.ndarray,
    top: int,
    law: MaskDistribution,
    families: Sequence[np.ndarray],
    classes: int,
    alpha: float,
) -> np.ndarray:
    """Certifies A against each set of cells by the views that hide all of the set.

    With masks enough the tightest of the sampled rules, and that of `exact` with bounds
    in place of shares: for every set S and every other class b,

        h(S) (P(A | S hidden) - P(b | S hidden)) > 1 - h(S).

    The masks that happen to hide S are a sample of the masks given that they do, so
    that one sample serves all sets; a set that is hidden too seldom for that cannot be
    certified in any way, since `h(S)` has to be above 1/2. Every bound holds at `alpha
    / (sets * classes)`, over all families together.

    Args:
        hidden: Booleans `(masks, cells)`: the cells that each mask hides.
        answers: Integers `(masks,)`: the answers under them.
        top: Integer, the class A.
        law: What the masks were drawn from.
        families: For each, booleans `(sets, cells)`.
        classes: Integer, number of classes.
        alpha: Float in (0, 1): the probability to certify anything that is wrong.

    Returns:
        Booleans `(families,)`: whether A is certified against every set of each.

    Reference:
        Beyond the papers, see `exact`.
    """
    check_families(families, law)
    classes = check_int("classes", classes, 2)
    if not 0 <= np.min(answers, initial=0) <= np.max(answers, initial=0) < classes:
        raise ValueError(
            f"`answers` must be classes, from 0 to {classes - 1}. Received: from "
            f"{np.min(answers)} to {np.max(answers)}"
        )
    once = np.ones(len(answers), int)
    sets = np.concatenate(families)
    counts = counts_given(hidden, answers, once, sets, classes)
    return per_set_of(counts, top, law, families, alpha)


def per_set_of(
    counts: np.ndarray,
    top: int,
    law: MaskDistribution,
    families: Sequence[np.ndarray],
    alpha: float,
) -> np.ndarray:
    """`per_set` by `counts_given` of the sets of all families, one after another."""
    sets = np.concatenate(families)
    own, rival = _bounds(counts, top, counts.sum(axis=1), alpha / len(sets))
    h = hidden_probabilities(law, sets)
    stands = h * (own - rival) > 1.0 - h
    ends = np.cumsum([len(each) for each in families])[:-1]
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
        times: Integers `(masks,)`: how often each was drawn.
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
    """Adds what some of the masks say to the counts."""
    # In float32 the 16,777,217th vote would not count.
    votes = np.zeros((len(hidden), counts.shape[1]))
    votes[np.arange(len(hidden)), answers] = times
    shown = hidden.T.astype("float32")
    step = max(1, _AT_ONCE // len(hidden))
    for start in range(0, len(sets), step):
        some = sets[start : start + step]
        covered = some.astype("float32") @ shown >= some.sum(axis=1, keepdims=True)
        counts[start : start + step] += (covered.astype("float64") @ votes).astype(int)


def masks_needed(law: MaskDistribution, size: int, alpha: float) -> int | None:
    """How many masks `majority` needs at least, if all answers agree.

    Args:
        law: What the masks are drawn from.
        size: Integer, the number of cells k.
        alpha: Float in (0, 1).

    Returns:
        An integer, or `None` where no number is enough.

    Example:

    >>> law = MaskDistribution.bernoulli(cells=16, mask_rate=0.75)
    >>> [masks_needed(law, k, alpha=1e-3) for k in (1, 2, 3)]
    [25, 108, None]
    """
    wanted = 1.5 - law.hidden(size)
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
    """A from below and the best of the others from above, for `(sets, classes)`."""
    each = alpha / counts.shape[-1]
    own = lower_bound(counts[:, top], trials, each)
    others = np.delete(counts, top, axis=-1)
    return own, upper_bound(others.max(axis=-1), trials, each)
