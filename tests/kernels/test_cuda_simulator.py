"""Runs the CUDA tests in numba's simulator, and counts the reads of the kernels there.

The simulator must be chosen before numba is imported, hence the process of their own.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT

HERE = Path(__file__)


def test_cuda_kernels_in_a_process_with_the_simulator() -> None:
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    files = [str(HERE), str(HERE.with_name("test_cuda.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu or simulator", *files]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Counted(np.ndarray):
    """An array that counts, in `reads`, how often each of its items is read."""

    reads: np.ndarray

    def __array_finalize__(self, base: Any) -> None:
        if isinstance(base, Counted):
            self.reads = base.reads

    def __getitem__(self, index: Any) -> Any:
        plain = self.view(np.ndarray)
        # A flat index: that is how the kernels see every array.
        np.add.at(self.reads, np.arange(plain.size)[index], 1)
        return plain[index]


def counted(values: np.ndarray) -> tuple[Any, np.ndarray]:
    """Returns `values` as a simulated device array, and the counts of its reads."""
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    array = values.copy().view(Counted)
    array.reads = np.zeros(values.size, int)
    return FakeCUDAArray(array), array.reads


def draw(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, shape).astype(dtype)


@pytest.mark.simulator
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("shape", [(2, 8, 8, 2), (2, 7, 9, 3)])
def test_one_read_of_each_item_for_five_views(
    dtype: str, shape: tuple[int, ...]
) -> None:
    from keras_maskdef.kernels import cuda

    images, reads = counted(draw(shape, dtype))
    keep = np.random.default_rng(3).random((5, shape[0], 3, 3)) < 0.5
    out = cuda.empty((5, *shape), dtype)
    cuda._launch_grid_mask(
        images, cuda.asarray(keep), 3, np.zeros(shape[3], dtype), out
    )
    assert (reads == 1).all()


@pytest.mark.simulator
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("shape", [(2, 8, 8, 2), (2, 7, 9, 3)])
def test_one_read_of_each_item_for_bit_depth(
    dtype: str, shape: tuple[int, ...]
) -> None:
    from keras_maskdef.kernels import cuda

    images, reads = counted(draw(shape, dtype))
    cuda._launch_bit_depth(images, 3, cuda.empty(shape, dtype))
    assert (reads == 1).all()


@pytest.mark.simulator
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("shape", [(2, 8, 8, 2), (2, 7, 9, 3)])
def test_one_read_of_each_item_of_a_tile_for_medians(
    dtype: str, size: int, shape: tuple[int, ...]
) -> None:
    from keras_maskdef.kernels import cuda

    images, reads = counted(draw(shape, dtype))
    cuda._launch_median(images, size, cuda.empty(shape, dtype))
    assert (reads == 1).all()


@pytest.mark.simulator
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("size", [3, 6])
def test_the_border_of_a_tile_is_read_by_its_neighbour_too(
    dtype: str, size: int
) -> None:
    from keras_maskdef.kernels import cuda

    shape = (1, 20, 17, 8)
    row, before, after = 17 * 8, size // 2, (size - 1) // 2
    columns, pitch, rows = cuda.median_tile(20, row, 8, size, dtype)
    images, reads = counted(draw(shape, dtype))
    cuda._launch_median(images, size, cuda.empty(shape, dtype))

    # How many tiles, with `before` and `after` rows and the padding round them, hold
    # each item: two tiles a row, two a column.
    padding = (pitch - columns) // 2
    tall = rows * (cuda.THREADS // columns)
    y, item = np.arange(20)[:, None], np.arange(row)[None]
    bands = [(y >= t - before) & (y < t + tall + after) for t in range(0, 20, tall)]
    strips = [
        (item >= e - padding) & (item < e + columns + padding)
        for e in range(0, row, columns)
    ]
    assert len(bands) == len(strips) == 2
    np.testing.assert_array_equal(
        reads.reshape(20, row), sum(map(int_array, bands)) * sum(map(int_array, strips))
    )


def int_array(truth: np.ndarray) -> np.ndarray:
    return truth.astype(int)
