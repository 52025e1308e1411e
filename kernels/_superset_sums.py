"""Sums over all supersets of a set of bits, in place."""

import numpy as np
from numba import njit


@njit(nogil=True)
def add_supersets(sums: np.ndarray) -> None:
    """Replaces `(2 ** n,)` values by their sums over all supersets of their bits."""
    size = np.uint64(len(sums))
    half = np.uint64(1)
    one = np.uint64(1)
    while half < size:
        block = np.uint64(0)
        while block < size:
            upper = block + half
            for i in range(half):
                sums[block + np.uint64(i)] += sums[upper + np.uint64(i)]
            block = upper + half
        half <<= one
