"""Self-checks of kernels that were built without the device they run on."""

import functools
import threading
import warnings
from collections.abc import Callable, Iterator

import numpy as np

_lock = threading.Lock()


class CudaFallbackWarning(RuntimeWarning):
    """A CUDA kernel failed its check; the CPU computes in its place from now on."""


def trusted(check: Callable[..., str]) -> Callable[..., bool]:
    """Turns `check`, which returns a fault or "", into a cached yes-or-no function.

    On a fault the first call warns with `CudaFallbackWarning`. A check that raises
    counts as a fault.
    """

    @functools.cache
    def ask(kernel: str, dtype: str, *parameters: int) -> bool:
        try:
            fault = check(kernel, dtype, *parameters)
        except Exception as error:  # whatever a compiler or a driver may raise
            fault = f"{type(error).__name__}: {error}"
        if fault:
            warnings.warn(
                f"The CUDA kernel {kernel}{parameters} for {dtype} failed its check "
                f"against the reference and is not used; the CPU computes in its "
                f"place. {fault}",
                CudaFallbackWarning,
                stacklevel=7,
            )
        return not fault

    def ask_in_turn(*key: object) -> bool:
        with _lock:
            return ask(*key)

    ask_in_turn.forget = ask.cache_clear  # type: ignore[attr-defined]
    return ask_in_turn


def sample_images(dtype: str) -> Iterator[np.ndarray]:
    """Yields small images: rows of whole 16-byte words, then rows of odd length."""
    rng = np.random.default_rng(0)
    for shape in ((1, 8, 8, 2), (2, 7, 9, 3)):
        images = rng.integers(0, 256, shape, dtype="uint8")
        yield images if dtype == "uint8" else images.astype("float32") / 255
