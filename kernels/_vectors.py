"""Helpers with which the CPU kernels fill whole vectors."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

LINE = 64  # bytes of a cache line and of the widest vector


def _lower_wide(typing_context: Any) -> Any:
    """Lets the function that calls it use 64-byte vectors where the CPU has them.

    By default LLVM stops at 32 bytes even there. Measured with AVX-512 on one core: the
    5x5 median of float32 takes 1.1 to 1.4 times as long without it, the 7x7 median 1.4
    to 1.5 times; the 5x5 median of uint8 differs by less than the noise.
    """

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Bypasses llvmlite's list of known names, which lacks this one.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), lower


wide: Any = intrinsic(_lower_wide)


def flat(array: np.ndarray) -> np.ndarray:
    """Returns an input as one axis, a read-only input as if it were writeable.

    Kernels do not write to inputs. For numba, a read-only array is another type:
    kernels compiled for NumPy arrays would be compiled again for TensorFlow's, which
    takes 1 to 6 s.
    """
    line = array.ravel()
    if line.flags.writeable:
        return line
    interface = line.__array_interface__
    interface["data"] = (interface["data"][0], False)
    return np.asarray(SimpleNamespace(__array_interface__=interface, owner=line))


def inner(function: Any) -> Any:
    """Compiles a function that only other kernels call.

    No wrapper for Python is compiled, and the function is inlined: a call would pass
    every array in seven words, several times a row.
    """
    options: dict[str, Any] = {"forceinline": True, "no_cpython_wrapper": True}
    return njit(nogil=True, **options)(function)


@inner
def whole_vectors(count: int, itemsize: int) -> int:
    """Returns `count` elements rounded up to whole vectors."""
    lane = LINE // itemsize
    return -(-count // lane) * lane


@inner
def scratch(length: int, like: np.ndarray) -> np.ndarray:
    """Returns an array of the dtype of `like` that begins at a cache line."""
    array = np.empty(length + LINE, like.dtype)
    start = -array.ctypes.data % LINE // like.itemsize
    return array[start : start + length]


@inner
def copy(
    source: np.ndarray, start: int, target: np.ndarray, offset: int, count: int
) -> None:
    """Copies `count` elements between flat arrays."""
    wide()
    begin, to = np.uint64(start), np.uint64(offset)
    for i in range(np.uint64(count)):
        target[to + i] = source[begin + i]


@inner
def has_nan(array: np.ndarray, start: int, count: int) -> bool:
    """Tells whether any of `count` elements of a flat array is NaN."""
    wide()
    begin, any_nan = np.uint64(start), False
    for i in range(np.uint64(count)):
        any_nan |= array[begin + i] != array[begin + i]
    return any_nan


@inner
def mirrored(index: int, length: int) -> int:
    """Returns the source of `index` on an axis continued by its mirror images."""
    if index < 0:
        return -index - 1
    return index if index < length else 2 * length - 1 - index
