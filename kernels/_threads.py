"""A pool of threads to split kernels over."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_THREADS = os.cpu_count() or 1
_POOL = ThreadPoolExecutor(_THREADS)


def split(function: Callable[[int, int], None], count: int) -> None:
    """Calls `function(first, last)` on contiguous parts of `count` items, at once."""
    parts = min(_THREADS, count) or 1
    edges = [count * part // parts for part in range(parts + 1)]
    list(_POOL.map(function, edges[:-1], edges[1:]))
