"""How sure a fraction is that was counted."""


def wilson(fraction: float, trials: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a fraction of so many trials."""
    from scipy import stats  # half a second

    successes = round(fraction * trials)
    bounds = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)
