"""Measures durations."""

import math
import time
from collections.abc import Callable
from typing import Any


def fastest(function: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of several calls; other load only adds time.

    The clock is monotonic. It may still go back if a virtual machine is moved or
    restored, so calls that took no time by it are left out. Infinity if none is left.
    """
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min((taken for taken in seconds if taken > 0), default=math.inf)
