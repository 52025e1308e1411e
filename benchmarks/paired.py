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


def seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def record_ratio(benchmark: Any, ours: Call, other: Call, pairs: int) -> None:
    """Times `ours` for pytest-benchmark, and the pairs for `extra_info`."""
    for _ in range(3):
        ours()
        other()
    ratios = [seconds(ours) / seconds(other) for _ in range(pairs)]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    benchmark.extra_info["ratio"] = round(float(middle), 4)
    benchmark.extra_info["ratio_quartiles"] = [round(float(r), 4) for r in (low, high)]
    benchmark.pedantic(ours, rounds=5)
    print(f"\n{benchmark.name}: {middle:.3f} ({low:.3f} to {high:.3f})")
