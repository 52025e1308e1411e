"""CUDA kernels against a copy on the device and against CuPy, with pytest-benchmark.

Needs a CUDA device, numba-cuda and pytest-benchmark, but neither Keras nor TensorFlow
nor an installed package; CuPy is compared where it is installed. Arrays are on the
device throughout, the first call of each function, which compiles, is outside the timed
part, and the wait for the device is inside it:

    pytest benchmarks/test_cuda.py --benchmark-enable --benchmark-json=cuda.json
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="no CUDA device: numba-cuda is not installed")

from numba import cuda


def load_kernels() -> Any:
    """Imports the folder alone, as the package above it imports Keras."""
    folder = Path(__file__).parents[1] / "kernels"
    spec = importlib.util.spec_from_file_location(
        "maskdef_kernels", folder / "__init__.py"
    )
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kernels = load_kernels()
backend = importlib.import_module("maskdef_kernels.cuda")
if backend.SIMULATED or (reason := backend.why_unavailable()) is not None:
    why = "it is simulated" if backend.SIMULATED else reason
    pytest.skip(f"no CUDA device: {why}", allow_module_level=True)

SHAPES = [(256, 32, 32, 3), (256, 28, 28, 1), (64, 64, 64, 3), (16, 224, 224, 3)]
DTYPES = ["float32", "uint8"]
VIEWS, CELL = 5, 8

pytestmark = [
    pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s))),
    pytest.mark.parametrize("dtype", DTYPES),
]


def draw(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    return images if dtype == "uint8" else images.astype("float32") / 255


def draw_keep(shape: tuple[int, ...]) -> np.ndarray:
    count, height, width, _ = shape
    grid = (VIEWS, count, -(-height // CELL), -(-width // CELL))
    return np.random.default_rng(1).random(grid) < 0.25


def measure(benchmark: Any, run: Callable[[], Any], moved: int, group: str) -> None:
    """Times `run`, which reads and writes `moved` bytes of device memory in all."""

    def run_and_wait() -> None:
        run()
        cuda.synchronize()

    run_and_wait()
    benchmark.group = group
    device = cuda.get_current_device()
    kernel, shape, dtype = group.rsplit(" ", 2)
    benchmark.extra_info.update(
        kernel=f"CUDA {kernel}",
        library=library_of(benchmark.name),
        shape=[int(side) for side in shape.split("x")],
        dtype=dtype,
    )
    benchmark.extra_info["device"] = str(device.name)
    benchmark.extra_info["compute_capability"] = list(device.compute_capability)
    benchmark.pedantic(run_and_wait, rounds=50, iterations=4, warmup_rounds=3)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["gigabytes_a_second"] = moved / seconds / 1e9


def library_of(name: str) -> str:
    if "cupy" in name:
        return "CuPy"
    return "device copy" if "copy" in name else "keras_maskdef"


def group_of(kernel: str, shape: tuple[int, ...], dtype: str) -> str:
    return f"{kernel} {'x'.join(map(str, shape))} {dtype}"


def test_copy(benchmark: Any, shape: tuple[int, ...], dtype: str) -> None:
    images = cuda.to_device(draw(shape, dtype))
    out = cuda.device_array(shape, dtype)
    group = group_of("copy", shape, dtype)
    measure(benchmark, lambda: out.copy_to_device(images), 2 * images.nbytes, group)


def test_copy_five_views(benchmark: Any, shape: tuple[int, ...], dtype: str) -> None:
    images = cuda.to_device(draw(shape, dtype))
    out = cuda.device_array((VIEWS, *shape), dtype)

    def run() -> None:
        for view in range(VIEWS):
            out[view].copy_to_device(images)

    group = group_of("grid_mask", shape, dtype)
    measure(benchmark, run, 2 * VIEWS * images.nbytes, group)


def test_grid_mask(benchmark: Any, shape: tuple[int, ...], dtype: str) -> None:
    images, keep = cuda.to_device(draw(shape, dtype)), cuda.to_device(draw_keep(shape))
    out = cuda.device_array((VIEWS, *shape), dtype)
    group = group_of("grid_mask", shape, dtype)
    moved = (1 + VIEWS) * images.nbytes
    measure(
        benchmark, lambda: kernels.grid_mask(images, keep, CELL, 0, out), moved, group
    )


def test_grid_mask_cupy(benchmark: Any, shape: tuple[int, ...], dtype: str) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    images, keep = cupy.asarray(draw(shape, dtype)), cupy.asarray(draw_keep(shape))
    height, width = shape[1:3]

    def run() -> Any:
        visible = keep.repeat(CELL, axis=-2).repeat(CELL, axis=-1)
        return images * visible[..., :height, :width, None].astype(images.dtype)

    group = group_of("grid_mask", shape, dtype)
    measure(benchmark, run, (1 + VIEWS) * images.nbytes, group)


def test_bit_depth(benchmark: Any, shape: tuple[int, ...], dtype: str) -> None:
    images = cuda.to_device(draw(shape, dtype))
    out = cuda.device_array(shape, dtype)
    group = group_of("bit_depth", shape, dtype)
    run = lambda: kernels.bit_depth(images, 3, out)  # noqa: E731
    measure(benchmark, run, 2 * images.nbytes, group)


def test_bit_depth_cupy(benchmark: Any, shape: tuple[int, ...], dtype: str) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    images = cupy.asarray(draw(shape, dtype))

    def run() -> Any:
        if dtype == "uint8":
            return cupy.rint(cupy.rint(images * (7 / 255)) * (255 / 7)).astype("uint8")
        return cupy.rint(images * np.float32(7)) / np.float32(7)

    measure(benchmark, run, 2 * images.nbytes, group_of("bit_depth", shape, dtype))


@pytest.mark.parametrize("size", range(2, 8))
def test_median(benchmark: Any, shape: tuple[int, ...], dtype: str, size: int) -> None:
    images = cuda.to_device(draw(shape, dtype))
    out = cuda.device_array(shape, dtype)
    group = group_of(f"median {size}x{size}", shape, dtype)
    run = lambda: kernels.median(images, size, out)  # noqa: E731
    measure(benchmark, run, 2 * images.nbytes, group)


@pytest.mark.parametrize("size", range(2, 8))
def test_median_cupy(
    benchmark: Any, shape: tuple[int, ...], dtype: str, size: int
) -> None:
    pytest.importorskip("cupy", reason="CuPy is not installed")
    import cupy
    from cupyx.scipy import ndimage

    images = cupy.asarray(draw(shape, dtype))
    out = cupy.empty_like(images)
    window = (1, size, size, 1)
    group = group_of(f"median {size}x{size}", shape, dtype)
    run = lambda: ndimage.median_filter(images, window, output=out)  # noqa: E731
    measure(benchmark, run, 2 * images.nbytes, group)
