"""Wilson interval of a binomial proportion."""


def wilson(fraction: float, trials: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a fraction of `trials`."""
    from scipy import stats  # takes half a second

    successes = round(fraction * trials)
    bounds = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)
