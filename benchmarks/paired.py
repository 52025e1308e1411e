"""Ratios of times that a drift of the machine's speed leaves alone.

The two sides of a ratio take turns, call by call, and the ratio is the median of
the pairs: a drift of the machine's speed then falls on both. Each is called three
times before it is timed, so no tracing is in a timing.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[], Any]
QUARTILES = (0.25, 0.5, 0.75)


def seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def record_ratio(
    benchmark: Any, case: str, shape: tuple, ours: Call, other: Call, pairs: int
) -> None:
    """Times `ours` for pytest-benchmark, and the pairs for `extra_info`."""
    for _ in range(3):
        ours()
        other()
    ratios = [seconds(ours) / seconds(other) for _ in range(pairs)]
    low, middle, high = (round(float(q), 4) for q in np.quantile(ratios, QUARTILES))
    benchmark.extra_info.update(
        library="keras_maskdef",
        kernel=case,
        shape=list(shape),
        dtype="float32",
        ratio=middle,
        ratio_quartiles=[low, high],
    )
    benchmark.pedantic(ours, rounds=5)
