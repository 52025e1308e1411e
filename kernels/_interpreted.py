"""The reference in place of the CPU kernels, where numba's compiler is disabled.

With `NUMBA_DISABLE_JIT=1`, for a debugger or for coverage, code for the compiler alone
cannot run.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _nl_means_reference, reference


def _filling(compute: Callable[..., np.ndarray]) -> Callable[..., None]:
    def fill(*arguments: Any) -> None:
        *given, out = arguments
        with np.errstate(over="ignore", invalid="ignore"):
            out[...] = compute(*given)

    return fill


grid_mask = _filling(reference.grid_mask)
bit_depth = _filling(reference.bit_depth)
median = _filling(reference.median)
nl_means = _filling(_nl_means_reference.nl_means)
