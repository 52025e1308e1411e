"""Splits a kernel over a pool of threads.

Kernels are serial and release the GIL. `njit(parallel=True)` is not used: where numba
falls back to its workqueue layer, two threads that enter it together abort the process,
and TensorFlow calls from several.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numba

_lock = Lock()
_pool: ThreadPoolExecutor | None = None


def split(
    kernel: Callable[..., None], jobs: int, smallest: int, *arguments: Any
) -> None:
    """Calls `kernel(first, last, *arguments)` on blocks that cover `range(jobs)`.

    No block is below `smallest` jobs, for which a second thread would cost more than it
    saves. `NUMBA_NUM_THREADS` sets the number of threads, by default one per core.
    """
    blocks = max(1, min(_threads(), jobs // max(1, smallest)))
    if blocks == 1:
        kernel(0, jobs, *arguments)
        return
    bounds = [jobs * i // blocks for i in range(blocks + 1)]
    # The caller takes the first block, and any other that no thread has begun.
    later = []
    for first, last in zip(bounds[1:-1], bounds[2:], strict=True):
        later.append((_submit(kernel, first, last, *arguments), first, last))
    kernel(bounds[0], bounds[1], *arguments)
    for future, first, last in reversed(later):
        if future is None or future.cancel():
            kernel(first, last, *arguments)
        else:
            future.result()


def _threads() -> int:
    config: Any = numba.config
    return config.NUMBA_NUM_THREADS


def _submit(kernel: Callable[..., None], *arguments: Any) -> "Future[None] | None":
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_threads(), thread_name_prefix="maskdef-kernels")
        try:
            return _pool.submit(kernel, *arguments)
        except RuntimeError:  # the interpreter is shutting down
            return None


def _forget() -> None:
    """Resets a forked child, which has no threads and perhaps a held lock."""
    global _lock, _pool
    _lock, _pool = Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
