"""Bounds of a probability from counts, each wrong with a given probability at most."""

from typing import Any

import numpy as np

from keras_maskdef.core.arguments import check_fraction


def lower_bound(successes: Any, trials: Any, alpha: float) -> np.ndarray:
    """The one-sided Clopper-Pearson bound from below.

    Args:
        successes: Integers of any shape, from 0 to `trials`.
        trials: Integers, of that shape or one for all.
        alpha: Float in (0, 1): how probable it is at most that the bound is above the
            probability. Where several bounds have to hold at once, divide `alpha` by
            their number (Bonferroni).

    Returns:
        Floats in [0, 1]; 0 where nothing was tried.

    Example:

    >>> lower_bound(5, 5, alpha=1e-3).round(3)
    np.float64(0.251)

    Reference:
        Clopper and Pearson: The Use of Confidence or Fiducial Limits, Biometrika 26
        (1934).
    """
    from scipy import stats  # half a second

    found, tried = _counts(successes, trials, alpha)
    with np.errstate(invalid="ignore"):
        bound = stats.beta.ppf(alpha, found, tried - found + 1)
    return np.where(found == 0, 0.0, bound)[()]


def upper_bound(successes: Any, trials: Any, alpha: float) -> np.ndarray:
    """The one-sided Clopper-Pearson bound from above; see `lower_bound`.

    Returns:
        Floats in [0, 1]; 1 where nothing was tried.

    Example:

    >>> upper_bound(0, 5, alpha=1e-3).round(3)
    np.float64(0.749)
    """
    found, tried = _counts(successes, trials, alpha)
    return 1.0 - lower_bound(tried - found, tried, alpha)


def _counts(successes: Any, trials: Any, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    if not 0.0 < check_fraction("alpha", alpha) < 1.0:
        raise ValueError(f"`alpha` must be in (0, 1). Received: alpha={alpha}")
    found, tried = np.broadcast_arrays(successes, trials)
    if (found < 0).any() or (found > tried).any():
        raise ValueError(
            "`successes` must be integers from 0 to `trials`. "
            f"Received: successes={successes!r}, trials={trials!r}"
        )
    return found, tried
