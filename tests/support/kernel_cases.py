"""Drawn calls of the CPU kernels, their work divided anywhere, against the reference.

A case is all in its seed. Arrays lie between guard bytes, or right against pages that
cannot be touched, in any memory order. Work is divided by the library's threads, or
into blocks cut anywhere that run one by one in any order: what one block writes into
another's rows is then seen each time, not in one race of many.
"""

import contextlib
import ctypes
import math
import mmap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from keras_maskdef.kernels import _nl_means as nl_means_module
from keras_maskdef.kernels import (
    _nl_means_reference,
    _superset_sums,
    _threads,
    cpu,
    reference,
)

from keras_maskdef import kernels

MOST_THREADS = 7
GUARD = 0xA5
MARGIN = 512  # guard bytes that are looked at on either side
ORDERS = ("plain", "reversed", "channels first", "strided")
SHARES = {
    "grid_mask": 0.7,
    "median": 0.12,
    "bit_depth": 0.1,
    "nl_means": 0.04,
    "superset_sums": 0.04,
}
EXTREMES = np.array([0, -0.0, 1, -1, np.inf, -np.inf, 3e38, -3e38, 1e-45], "float32")
NANS = np.array([np.nan, -np.nan], "float32")


class Case(NamedTuple):
    """A call of a kernel: `kernels.NAME(*arrays, *parameters, out=out)`.

    `division` is "threads" (with blocks as small as can be), "real" (large images and
    the library's own smallest blocks), "cut" (blocks one by one, in any order) or
    "callers" (several threads that each call a kernel which has threads).
    """

    kernel: str
    arrays: tuple[np.ndarray, ...]
    parameters: tuple[Any, ...]
    division: str
    threads: int
    any_memory: bool

    def __str__(self) -> str:
        arrays = ", ".join(f"{a.dtype}{a.shape}" for a in self.arrays)
        return (
            f"{self.kernel}({arrays}, {', '.join(map(str, self.parameters))}), "
            f"divided by {self.threads} {self.division}"
        )


def draw(
    rng: np.random.Generator, kernel: str | None = None, few_variants: bool = False
) -> Case:
    """Draws a case; with `few_variants`, among few that numba compiles apart."""
    kernel = kernel or str(rng.choice(list(SHARES), p=list(SHARES.values())))
    division = str(rng.choice(["threads", "real", "cut", "callers"]))
    arrays, parameters = _DRAWN[kernel](rng, division == "real", few_variants)
    # Unaligned arrays are compiled apart.
    any_memory = kernel in ("grid_mask", "bit_depth") and not few_variants
    threads = int(rng.integers(1, MOST_THREADS + 1))
    return Case(kernel, arrays, parameters, division, threads, any_memory)


def check_drawn(seed: int, kernel: str | None = None, few: bool = False) -> None:
    """Draws a case and raises AssertionError, with its seed, where it fails."""
    rng = np.random.default_rng(seed)
    case = draw(rng, kernel, few)
    try:
        check(case, rng)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {case}: {error}") from error


def check(case: Case, rng: np.random.Generator) -> None:
    """Raises AssertionError where the kernel does not do what the reference does."""
    with np.errstate(all="ignore"):
        expected = _REFERENCES[case.kernel](*case.arrays, *case.parameters)
    places = [
        _fence(i).place(rng, array.shape, array.dtype, case.any_memory)
        for i, array in enumerate(case.arrays)
    ]
    for place, array in zip(places, case.arrays, strict=True):
        place[...] = array
    given = [place[...] for place in places]
    for array in given:
        array.flags.writeable = bool(rng.random() < 0.7)
    callers = case.threads if case.division == "callers" else 1
    fences = [_fence(len(given) + i) for i in range(callers)]
    outs = [
        f.place(rng, expected.shape, expected.dtype, case.any_memory) for f in fences
    ]
    with divided(case.division, case.threads, rng):
        _call_at_once(case, given, outs)
    for i, (place, array) in enumerate(zip(places, case.arrays, strict=True)):
        taken = _fence(i).take(place)
        np.testing.assert_array_equal(taken, array, "An input was written")
    for fence, out in zip(fences, outs, strict=True):
        _assert_same(fence.take(out), expected, case.kernel)


def _assert_same(result: np.ndarray, expected: np.ndarray, kernel: str) -> None:
    if kernel == "superset_sums":  # floats are added in another order
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    elif kernel == "grid_mask" and result.dtype == np.float32:  # NaN keep their bits
        np.testing.assert_array_equal(
            *(np.ascontiguousarray(x).view("u4") for x in (result, expected))
        )
    else:
        np.testing.assert_array_equal(result, expected)


# --- calls ----------------------------------------------------------------------------


def _call_at_once(
    case: Case, arrays: Sequence[np.ndarray], outs: Sequence[np.ndarray]
) -> None:
    def call(out: np.ndarray) -> None:
        _FUNCTIONS[case.kernel](*arrays, *case.parameters, out=out)

    with ThreadPoolExecutor(len(outs)) as callers:
        for _ in callers.map(call, outs):
            pass


def _superset_sums_into(values: np.ndarray, out: np.ndarray) -> None:
    out[...] = values
    _superset_sums.add_supersets(out)
    np.testing.assert_array_equal(kernels.superset_sums(values), out)


_FUNCTIONS = {
    **{name: getattr(kernels, name) for name in SHARES},
    "superset_sums": _superset_sums_into,
}
_REFERENCES = {
    **{name: getattr(reference, name, None) for name in SHARES},
    "nl_means": _nl_means_reference.nl_means,
}


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS)


@contextlib.contextmanager
def divided(division: str, threads: int, rng: np.random.Generator) -> Iterator[None]:
    """Has the work of kernels divided as `Case` says."""
    with contextlib.ExitStack() as patches:

        def patch(module: Any, name: str, value: Any) -> None:
            patches.enter_context(mock.patch.object(module, name, value))

        patch(_threads, "_threads", lambda: threads)
        patch(_threads, "_pool", _pool())
        if division == "cut":
            for module in (cpu, nl_means_module):
                patch(module, "split", _cutter(rng))
        if division != "real":
            patch(nl_means_module, "SMALLEST", 1)
            for name in ("MASKED", "ROUNDED", "FILTERED"):
                patch(cpu, f"_SMALLEST_{name}", 1)
        yield


def _cutter(rng: np.random.Generator) -> Any:
    """Returns a `split` that runs drawn blocks one by one, in a drawn order."""

    def split(kernel: Any, jobs: int, smallest: int, *arguments: Any) -> None:
        most = jobs if jobs <= 64 and rng.random() < 0.3 else min(jobs, 9)
        cuts = rng.integers(0, jobs + 1, rng.integers(0, most) if most else 0)
        if most == jobs:
            cuts = np.arange(jobs)
        bounds = sorted({0, jobs, *cuts.tolist()})
        for i in rng.permutation(len(bounds) - 1):
            kernel(bounds[i], bounds[i + 1], *arguments)

    return split


# --- memory ---------------------------------------------------------------------------


@cache
def _fence(number: int) -> "_Fence":
    return _Fence(1 << 24)


class _Fence:
    """Memory for one array, between two pages that end the process when touched."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        whole = np.frombuffer(mmap.mmap(-1, size + 2 * page), np.uint8)
        self._memory = whole[page:-page]
        self._memory[:] = GUARD
        self._watched = slice(0)
        with contextlib.suppress(OSError, AttributeError):  # where there is no such
            protect = ctypes.CDLL(None).mprotect
            for page_at in (whole.ctypes.data, whole.ctypes.data + page + size):
                protect(ctypes.c_void_p(page_at), ctypes.c_size_t(page), 0)

    def place(
        self, rng: np.random.Generator, shape: Sequence[int], dtype: Any, anyhow: bool
    ) -> np.ndarray:
        """Returns an array at the start, at the end, or somewhere, of guard bytes.

        Unless `anyhow`, it is aligned.
        """
        order = str(rng.choice(ORDERS)) if len(shape) > 3 else "plain"
        base = tuple(shape)
        if order == "strided":
            base = (*shape[:-1], 2 * shape[-1])
        elif order == "channels first":
            base = (shape[-1], *shape[:-1])
        itemsize = np.dtype(dtype).itemsize
        size = math.prod(base) * itemsize
        room = len(self._memory) - size
        start = int(rng.choice([0, room, rng.integers(0, room + 1)]))
        start -= 0 if anyhow else start % itemsize
        self._memory[self._watched] = GUARD  # in case an earlier test failed
        self._watched = slice(max(0, start - MARGIN), start + size + MARGIN)
        array = self._memory[start : start + size].view(dtype).reshape(base)
        if order == "strided":
            return array[..., ::2]
        if order == "channels first":
            return np.moveaxis(array, 0, -1)
        return array[..., ::-1, :] if order == "reversed" else array

    def take(self, array: np.ndarray) -> np.ndarray:
        """Returns a copy of the array, and wants nothing written beside it."""
        taken = array.copy()
        guards = int.from_bytes(bytes([GUARD] * array.itemsize))
        array.view(f"u{array.itemsize}")[...] = guards
        written = self._memory[self._watched] != GUARD
        assert not written.any(), "Bytes outside of an array were written"
        return taken


# --- drawn arguments ------------------------------------------------------------------

_Arguments = tuple[tuple[np.ndarray, ...], tuple[Any, ...]]


def _shape(
    rng: np.random.Generator, values: int, channels: int, smallest: int = 1
) -> tuple[int, int, int, int]:
    """Draws images of some `values` in all: few large ones, or many small ones."""
    longest = max(smallest, int(values / channels / smallest))
    height, width = (
        min(int(smallest * (longest / smallest) ** rng.beta(1, 1.3)), 1400)
        for _ in range(2)
    )
    height = max(smallest, min(height, values // (width * channels)))
    batch = values // (height * width * channels)
    return min(max(1, batch), 400), height, width, channels


def _images(
    rng: np.random.Generator, shape: tuple[int, ...], specials: np.ndarray
) -> np.ndarray:
    if rng.random() < 0.5:
        return rng.integers(0, 256, shape, "uint8")
    images = rng.random(shape, "float32")
    if rng.random() < 0.5:
        return images
    share = rng.choice([0.003, 0.1, 1.0])
    special = rng.choice(specials, shape)
    return np.where(rng.random(shape, "float32") < share, special, images)


def _grid_mask(rng: np.random.Generator, large: bool, few: bool) -> _Arguments:
    views = int(rng.integers(1, 6))
    values = int(2 ** rng.uniform(17, 19)) // views if large else rng.integers(1, 6000)
    channels = int(rng.integers(1, 9))
    images = _images(rng, _shape(rng, int(values), channels), np.r_[EXTREMES, NANS])
    batch, height, width, _ = images.shape
    cell = int(rng.integers(1, int(rng.choice([4, 12, 40, max(height, width)])) + 2))
    if rng.random() < 0.02:
        cell = 2**40
    grid = (batch, -(-height // cell), -(-width // cell))
    leading = () if views == 1 and rng.random() < 0.5 else (views,)
    keep = rng.integers(0, 2, (*leading, *grid), "uint8")
    if not few:  # any byte but 0 is a true boolean
        keep *= rng.integers(1, 256, keep.shape, "uint8")
    fill = rng.integers(0, 256, channels).tolist() if rng.random() < 0.5 else 7
    return (images, keep.view(bool)), (cell, fill)


def _bit_depth(rng: np.random.Generator, large: bool, few: bool) -> _Arguments:
    values = int(2 ** rng.uniform(20, 21)) if large else rng.integers(1, 3000)
    images = _images(rng, _shape(rng, int(values), int(rng.integers(1, 9))), EXTREMES)
    return (images,), (int(rng.integers(1, 9)),)


def _median(rng: np.random.Generator, large: bool, few: bool) -> _Arguments:
    size = int(rng.choice([2, 3, 5] if few else range(2, 8)))
    channels = int(rng.choice([1, 3] if few else range(1, 9)))
    values = int(2 ** rng.uniform(15, 15.6)) if large else rng.integers(1, 3000)
    shape = _shape(rng, int(values), channels, smallest=size)
    return (_images(rng, shape, np.r_[EXTREMES, NANS]),), (size,)


def _nl_means_arguments(rng: np.random.Generator, large: bool, few: bool) -> _Arguments:
    values = 2**16 if large else rng.integers(1, 2500)
    shape = _shape(rng, int(values), int(rng.choice([1, 3])))
    patch, search = (int(rng.choice(sizes)) for sizes in ([1, 3], [1, 3, 5]))
    images = _images(rng, shape, np.r_[EXTREMES, NANS])
    return (images,), (float(rng.choice([0.5, 4, 20, 80])), patch, search)


def _superset_values(rng: np.random.Generator, large: bool, few: bool) -> _Arguments:
    values = rng.integers(-9, 9, 2 ** int(rng.integers(0, 11)))
    return (values if rng.random() < 0.5 else values / 7,), ()


_DRAWN = {
    "grid_mask": _grid_mask,
    "bit_depth": _bit_depth,
    "median": _median,
    "nl_means": _nl_means_arguments,
    "superset_sums": _superset_values,
}
