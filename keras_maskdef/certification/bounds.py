"""Bounds of a probability from counts, each wrong with probability `alpha` at most."""

from typing import Any

import numpy as np

from keras_maskdef.core.arguments import check_fraction


def lower_bound(successes: Any, trials: Any, alpha: float) -> np.ndarray:
    """The one-sided lower Clopper-Pearson bound.

    Args:
        successes: Integers of any shape, from 0 to `trials`.
        trials: Integers of that shape, or one for all.
        alpha: Float in (0, 1): the largest probability that the bound is above the true
            probability. If several bounds must hold at once, divide `alpha` by their
            number (Bonferroni).

    Returns:
        Floats in [0, 1]; 0 for no trials.

    Example:

    >>> lower_bound(5, 5, alpha=1e-3).round(3)
    np.float64(0.251)

    Reference:
        Clopper and Pearson: The Use of Confidence or Fiducial Limits, Biometrika 26
        (1934).
    """
    from scipy import stats  # half a second

    hits, tried = _counts(successes, trials, alpha)
    with np.errstate(invalid="ignore"):
        bound = stats.beta.ppf(alpha, hits, tried - hits + 1)
    return np.where(hits == 0, 0.0, bound)[()]


def upper_bound(successes: Any, trials: Any, alpha: float) -> np.ndarray:
    """The one-sided upper Clopper-Pearson bound; see `lower_bound`.

    Returns:
        Floats in [0, 1]; 1 for no trials.

    Example:

    >>> upper_bound(0, 5, alpha=1e-3).round(3)
    np.float64(0.749)
    """
    hits, tried = _counts(successes, trials, alpha)
    return 1.0 - lower_bound(tried - hits, tried, alpha)


def _counts(successes: Any, trials: Any, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    if not 0.0 < check_fraction("alpha", alpha) < 1.0:
        raise ValueError(f"`alpha` must be in (0, 1). Received: alpha={alpha}")
    hits, tried = np.broadcast_arrays(successes, trials)
    if (hits < 0).any() or (hits > tried).any():
        raise ValueError(
            "`successes` must be integers from 0 to `trials`. "
            f"Received: successes={successes!r}, trials={trials!r}"
        )
    return hits, tried
