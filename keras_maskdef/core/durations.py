"""How long something takes."""

import math
import time
from collections.abc import Callable
from typing import Any


def fastest(function: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of several calls: a shared machine adds waits.

    The clock is one that nobody sets. A virtual machine that is moved or restored may
    find even that one behind; a call that took no time by it does not count, as the
    fastest would be the wrong one. Infinity where none counts.
    """
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min((each for each in seconds if each > 0), default=math.inf)
