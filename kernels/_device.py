"""Where a kernel runs: NumPy arrays on the CPU, device arrays where they live.

A module of kernels (`cpu`, `cuda`) has one function per kernel, which takes validated
arguments and fills `out`: `grid_mask(images, keep, cell_size, fill, out)` with or
without the view axis on `keep` and `out` and with `fill` a NumPy array of one value per
channel, `bit_depth(images, bits, out)`, `median(images, size, out)`. `cuda` also has
`why_unavailable()` (None, or the reason in words), `asarray(value)` (a device array
without a copy where `value` is on the device, an upload where it is not),
`check_compiler()` (raises the compiler's error where it cannot work) and
`empty(shape, dtype)`; its arrays have `shape`, `dtype`, `strides` and `copy_to_host()`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np

from ._validate import check_out

_DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged


def choose(device: str, images: Any) -> "Place":
    """Returns the place for `device`, given where `images` lives.

    A module of CUDA kernels is imported here and nowhere else, and only when needed.
    """
    if device == "auto" and type(images) is np.ndarray:
        return _cpu()
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"`device` must be 'auto', 'cpu' or 'cuda'. Received: device={device!r}"
        )
    resident = _on_cuda(images)
    if device == "cpu" and resident:
        raise ValueError(
            "`device` must be 'auto' or 'cuda' for images that live on a CUDA device. "
            "Received: device='cpu'"
        )
    if resident or device == "cuda":
        return Place(_cuda_module(), resident, upload=not resident)
    return _cpu()


def cpu_module(name: str = "cpu") -> ModuleType:
    """Returns a module of CPU kernels, or the reference if numba compiles nothing."""
    import numba

    config: Any = numba.config
    return _module("_interpreted" if config.DISABLE_JIT else name)


@cache
def _module(name: str) -> ModuleType:
    return import_module(f"{__package__}.{name}")


def _cpu(name: str = "cpu") -> "Place":
    return Place(cpu_module(name), resident=False, upload=False)


def host(kernel: str, device: str, images: Any) -> "Place":
    """Returns the place of a kernel without a CUDA twin, in the module of its name."""
    if device == "cuda" or _on_cuda(images):
        where = "on a CUDA device" if _on_cuda(images) else "on the host"
        raise RuntimeError(
            f"`{kernel}` has no CUDA kernel: copy the images to the host and pass "
            f"device='auto' or 'cpu'. Received: device={device!r}, images {where}"
        )
    if device not in ("auto", "cpu"):
        raise ValueError(
            f"`device` must be 'auto' or 'cpu'. Received: device={device!r}"
        )
    return _cpu(f"_{kernel}")


@dataclass(frozen=True)
class Place:
    """A module of kernels, and where the caller's arrays are.

    `resident`: the arrays are on a CUDA device. `upload`: the arrays are on the host
    and the kernels are not, so a run copies them to the device and its result back.
    """

    module: ModuleType
    resident: bool
    upload: bool

    def asarray(self, value: Any) -> Any:
        """Returns `value` as an array of the place, without a copy where it can."""
        return self.module.asarray(value) if self.resident else np.asarray(value)

    def output(
        self, out: Any, shape: tuple[int, ...], dtype: Any, inputs: Sequence[Any]
    ) -> Any:
        """Returns the array to write: a new one, or `out` once it is checked."""
        if out is None:
            create = self.module.empty if self.resident else np.empty
            return create(shape, dtype)
        if self.resident != _on_cuda(out) or not hasattr(out, "shape"):
            raise TypeError(
                "`out` must be an array that lives where the images live. "
                f"Received: type(out)={type(out).__name__}"
            )
        if not self.resident and not isinstance(out, np.ndarray):
            raise TypeError(
                "`out` must be a NumPy array, as the result is written into it. "
                f"Received: type(out)={type(out).__name__}"
            )
        array = self.asarray(out)
        check_out(array, shape, dtype)
        if not self.resident and not array.flags.writeable:
            raise ValueError("`out` must be writeable. Received: a read-only array")
        if any(_overlap(array, other) for other in inputs):
            raise ValueError(
                "`out` must not share memory with the inputs. "
                "Received: an overlapping array"
            )
        return array

    def run(
        self, kernel: str, arrays: Sequence[Any], parameters: Sequence[Any], out: Any
    ) -> None:
        """Runs `kernel(*arrays, *parameters, out)`; an empty result needs no run."""
        if math.prod(out.shape) == 0:
            return
        function = getattr(self.module, kernel)
        if not self.upload:
            function(*arrays, *parameters, out)
            return
        result = self.module.empty(out.shape, out.dtype)
        function(*map(self.module.asarray, arrays), *parameters, result)
        out[...] = result.copy_to_host()


def _cuda_module() -> ModuleType:
    try:
        module = import_module(f"{__package__}.cuda")
        module.check_compiler()
    except Exception as error:  # packages that do not fit may raise anything
        raise RuntimeError(
            "The CUDA kernels need numba-cuda and packages that fit it: install "
            "keras-maskdef[cuda13] or keras-maskdef[cuda12], which ask for those. "
            f"Received: {_versions()}, which fail with {type(error).__name__}: {error}"
        ) from error
    reason = module.why_unavailable()
    if reason is not None:
        raise RuntimeError(f"The CUDA kernels cannot run here: {reason}")
    return module


def _versions() -> str:
    return ", ".join(
        f"{name} {_version(name)}"
        for name in ("numba-cuda", "cuda-core", "numba", "llvmlite", "numpy")
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _on_cuda(array: Any) -> bool:
    if isinstance(array, np.ndarray):
        return False
    if hasattr(array, "__cuda_array_interface__"):
        return True
    device = getattr(array, "__dlpack_device__", None)
    return device is not None and int(device()[0]) in _DLPACK_CUDA


def _overlap(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        # Bounded work: True where the exact answer would take too long.
        work: Any = 10_000  # stubs before NumPy 2.5 know only the two named bounds
        return np.may_share_memory(a, b, max_work=work)
    (a_first, a_last), (b_first, b_last) = _byte_bounds(a), _byte_bounds(b)
    return a_first < b_last and b_first < a_last


def _byte_bounds(array: Any) -> tuple[int, int]:
    interface = array.__cuda_array_interface__
    itemsize = np.dtype(interface["typestr"]).itemsize
    first = last = interface["data"][0]
    if 0 in array.shape:
        return first, last
    for length, stride in zip(array.shape, array.strides, strict=True):
        step = (length - 1) * stride
        first, last = first + min(step, 0), last + max(step, 0)
    return first, last + itemsize
