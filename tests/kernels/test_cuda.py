"""The CUDA kernels against the reference, on a device or in numba's simulator.

Deselected by default: `pytest -m gpu` runs them on a device and
`test_cuda_simulator.py` in the simulator.
"""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from keras_maskdef.kernels import reference

from keras_maskdef import kernels

pytestmark = pytest.mark.gpu

# Rows of whole 16-byte words for both dtypes, for float32 alone, and for none.
SHAPES = [(2, 8, 8, 2), (1, 7, 12, 1), (2, 9, 11, 3)]
# Two blocks a row (more than 128 items) and two a column (more than 16 rows).
FOUR_BLOCKS = (1, 18, 17, 8)
DTYPES = ["float32", "uint8"]


@pytest.fixture
def cuda() -> Any:
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    from keras_maskdef.kernels import cuda

    if (reason := cuda.why_unavailable()) is not None:
        pytest.skip(reason)
    if cuda.SIMULATED:
        # The simulator waits for its threads in a busy loop: half the time this way.
        sys.setswitchinterval(1e-5)
    return cuda


@pytest.fixture
def unproven(cuda: Any) -> Iterator[Any]:
    """The kernels before their first use, and no trust in them afterwards."""
    cuda.is_trusted.forget()
    yield cuda
    cuda.is_trusted.forget()


def draw(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, shape, dtype="uint8")
    values = rng.normal(0, 2, shape).astype("float32").ravel()
    extremes = np.array([0, -0.0, np.inf, -np.inf, 1e36, -1e36, 1e-45], "float32")
    values[rng.permutation(values.size)[:7]] = extremes[: values.size]
    return values.reshape(shape)


def draw_keep(
    images: np.ndarray, cell: int, views: tuple[int, ...], seed: int = 1
) -> np.ndarray:
    count, height, width, _ = images.shape
    grid = (*views, count, -(-height // cell), -(-width // cell))
    return np.random.default_rng(seed).random(grid) < 0.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", range(2, 8))
def test_median_equals_the_reference(cuda: Any, dtype: str, size: int) -> None:
    for shape in SHAPES:
        images = draw(shape, dtype)
        result = kernels.median(images, size, device="cuda")
        np.testing.assert_array_equal(result, reference.median(images, size))


@pytest.mark.parametrize("dtype, size", [("float32", 3), ("uint8", 6)])
def test_median_across_blocks(cuda: Any, dtype: str, size: int) -> None:
    images = draw(FOUR_BLOCKS, dtype)
    result = kernels.median(images, size, device="cuda")
    np.testing.assert_array_equal(result, reference.median(images, size))


@pytest.mark.parametrize("dtype", DTYPES)
def test_median_of_the_smallest_image(cuda: Any, dtype: str) -> None:
    for size in (2, 7):
        images = draw((1, size, size, 1), dtype)
        result = kernels.median(images, size, device="cuda")
        np.testing.assert_array_equal(result, reference.median(images, size))


@pytest.mark.parametrize("size", [2, 3, 6])
@pytest.mark.parametrize("share", [0.03, 0.5])
def test_median_orders_nan_last(cuda: Any, size: int, share: float) -> None:
    images = draw((1, 9, 9, 2), "float32")
    rng = np.random.default_rng(size)
    images[rng.random(images.shape) < share] = np.nan
    images[rng.random(images.shape) < share / 2] *= -1
    result = kernels.median(images, size, device="cuda")
    np.testing.assert_array_equal(result, reference.median(images, size))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_equals_the_reference(cuda: Any, dtype: str, bits: int) -> None:
    for shape in SHAPES:
        images = draw(shape, dtype)
        result = kernels.bit_depth(images, bits, device="cuda")
        np.testing.assert_array_equal(result, reference.bit_depth(images, bits))


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_of_every_byte(cuda: Any, bits: int) -> None:
    images = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1)
    result = kernels.bit_depth(images, bits, device="cuda")
    np.testing.assert_array_equal(result, reference.bit_depth(images, bits))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("views", [(), (1,), (3,)])
def test_grid_mask_equals_the_reference(
    cuda: Any, dtype: str, views: tuple[int, ...]
) -> None:
    for shape, cell in itertools.product(SHAPES, (1, 2, 5, 20)):
        images = draw(shape, dtype)
        keep = draw_keep(images, cell, views)
        fill = np.arange(1, 1 + shape[-1])
        result = kernels.grid_mask(images, keep, cell, fill, device="cuda")
        expected = reference.grid_mask(images, keep, cell, fill)
        np.testing.assert_array_equal(result, expected)


def test_grid_mask_of_one_boundless_cell(cuda: Any) -> None:
    images = draw((2, 8, 8, 2), "float32")
    keep = np.array([[[True]], [[False]]])
    result = kernels.grid_mask(images, keep, 2**40, 0.5, device="cuda")
    np.testing.assert_array_equal(result[0], images[0])
    assert (result[1] == 0.5).all()


def test_grid_mask_covers_nan(cuda: Any) -> None:
    images = np.full((1, 4, 4, 1), np.nan, "float32")
    keep = np.zeros((1, 2, 2), bool)
    assert not kernels.grid_mask(images, keep, 2, device="cuda").any()


# Shapes and indices that leave gaps. Unlike NumPy's and the simulator's, arrays on a
# device know no `...`.
EVERY_OTHER_COLUMN = (2, 8, 9, 3), np.s_[:, :, ::2, :]
THREE_COLUMNS_OF_CELLS = (2, 2, 4, 5), np.s_[:, :, :, :3]
EVERY_OTHER_CHANNEL = (2, 2, 8, 5, 6), np.s_[:, :, :, :, ::2]
GAPS = [EVERY_OTHER_COLUMN, THREE_COLUMNS_OF_CELLS, EVERY_OTHER_CHANNEL]


@pytest.mark.parametrize("dtype", DTYPES)
def test_device_arrays_may_have_gaps(cuda: Any, dtype: str) -> None:
    (shape, columns), (_, cells), (out_shape, channels) = GAPS
    images = draw(shape, dtype)
    keep = draw_keep(images, 2, (2,))
    gappy, gappy_keep = cuda.asarray(images)[columns], cuda.asarray(keep)[cells]
    assert not gappy.is_c_contiguous() and not gappy_keep.is_c_contiguous()
    out = cuda.empty(out_shape, dtype)[channels]
    cuda.grid_mask(gappy, gappy_keep, 2, np.zeros(3, dtype), out)
    expected = reference.grid_mask(images[columns], keep[cells], 2)
    np.testing.assert_array_equal(out.copy_to_host(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_device_arrays_may_start_anywhere(cuda: Any, dtype: str) -> None:
    flat = cuda.asarray(draw((1 + 2 * 8 * 8 * 2,), dtype))[1:]
    images = flat.reshape((2, 8, 8, 2))
    host = images.copy_to_host()
    out = cuda.empty(host.shape, dtype)
    cuda.median(images, 3, out)
    np.testing.assert_array_equal(out.copy_to_host(), reference.median(host, 3))
    cuda.bit_depth(images, 3, out)
    np.testing.assert_array_equal(out.copy_to_host(), reference.bit_depth(host, 3))


def test_device_arrays_through_the_public_functions(cuda: Any) -> None:
    if cuda.SIMULATED:
        pytest.skip("simulated arrays have no __cuda_array_interface__")
    images = draw((2, 9, 11, 3), "float32")
    resident = cuda.asarray(images)
    keep = draw_keep(images, 4, (3,))
    out = cuda.empty((3, *images.shape), "float32")
    assert kernels.grid_mask(resident, cuda.asarray(keep), 4, out=out) is out
    expected = reference.grid_mask(images, keep, 4)
    np.testing.assert_array_equal(out.copy_to_host(), expected)
    result = kernels.median(resident, 5)
    np.testing.assert_array_equal(result.copy_to_host(), reference.median(images, 5))
    with pytest.raises(ValueError, match="`out` must not share memory"):
        kernels.bit_depth(resident, 3, out=resident)
    with pytest.raises(ValueError, match="`device` must be 'auto' or 'cuda'"):
        kernels.bit_depth(resident, 3, device="cpu")


def test_empty_batches(cuda: Any) -> None:
    images = np.zeros((0, 8, 8, 3), "float32")
    assert kernels.median(images, 3, device="cuda").shape == images.shape
    keep = np.zeros((0, 0, 4, 4), bool)
    result = kernels.grid_mask(images, keep, 2, device="cuda")
    assert result.shape == (0, 0, 8, 8, 3)


def test_a_broken_kernel_is_noticed_and_replaced(
    unproven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(images: Any, size: int, out: Any) -> None:
        unproven.LAUNCHERS["bit_depth"](images, 1, out)

    monkeypatch.setitem(unproven.LAUNCHERS, "median", launch)
    images = draw((2, 8, 8, 2), "uint8")
    with pytest.warns(unproven.CudaFallbackWarning, match=r"median\(3,\) for uint8"):
        result = kernels.median(images, 3, device="cuda")
    np.testing.assert_array_equal(result, reference.median(images, 3))
    # Said once; from then on the CPU computes without a word.
    result = kernels.median(images, 3, device="cuda")
    np.testing.assert_array_equal(result, reference.median(images, 3))


def test_a_kernel_that_raises_is_replaced(
    unproven: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(images: Any, bits: int, out: Any) -> None:
        raise OSError("no such instruction")

    monkeypatch.setitem(unproven.LAUNCHERS, "bit_depth", launch)
    images = draw((2, 8, 8, 2), "float32")
    with pytest.warns(unproven.CudaFallbackWarning, match="no such instruction"):
        result = kernels.bit_depth(images, 2, device="cuda")
    np.testing.assert_array_equal(result, reference.bit_depth(images, 2))


def test_arrays_of_other_libraries_stay_on_the_device(cuda: Any) -> None:
    torch = pytest.importorskip("torch")
    if cuda.SIMULATED or not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA device here")
    images = draw((2, 9, 11, 3), "float32")
    resident = torch.from_numpy(images).cuda()
    result = torch.as_tensor(kernels.median(resident, 3), device="cuda")
    np.testing.assert_array_equal(result.cpu().numpy(), reference.median(images, 3))

    class OnlyDLPack:
        __dlpack__ = resident.__dlpack__
        __dlpack_device__ = resident.__dlpack_device__

    result = kernels.median(OnlyDLPack(), 3).copy_to_host()
    np.testing.assert_array_equal(result, reference.median(images, 3))
