"""The CPU kernels against the NumPy reference, and the reference against scipy."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import kernel_cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_maskdef.kernels import (
    _bit_depth,
    _grid_mask,
    _median,
    _median_rows,
    reference,
)
from scipy import ndimage

from keras_maskdef import kernels

DTYPES = ("float32", "uint8")
EXTREMES = {
    "float32": np.array(
        [0.0, 1.0, -1.0, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.5], "float32"
    ),
    "uint8": np.array([0, 1, 127, 128, 254, 255], "uint8"),
}


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "uint8":
        return rng.integers(0, 256, shape, "uint8")
    return rng.random(shape, "float32")


@st.composite
def images(draw: st.DrawFn, smallest: int = 1, empty: bool = True) -> np.ndarray:
    """Noise, a few distinct values, a constant or extremes, in any memory order."""
    batch = draw(st.integers(0 if empty else 1, 3))
    height, width = (draw(st.integers(smallest, smallest + 33)) for _ in range(2))
    shape = (batch, height, width, draw(st.integers(1, 8)))
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "few", "constant", "extremes"]))
    values = EXTREMES[dtype] if kind == "extremes" else drawn(rng, (3,), dtype)
    if kind == "noise":
        array = drawn(rng, shape, dtype)
    else:
        array = rng.choice(values[:1] if kind == "constant" else values, shape)
    order = draw(st.sampled_from(["plain", "reversed", "channels first", "strided"]))
    if order == "reversed":
        return array[:, ::-1, ::-1]
    if order == "channels first":
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    if order == "strided":
        return np.repeat(array, 2, axis=2)[:, :, ::2]
    return array


def filled_out(draw: st.DataObject, shape: tuple[int, ...], dtype: np.dtype) -> object:
    """None, a plain `out`, or one that is a view of every other column."""
    kind = draw.draw(st.sampled_from(["none", "plain", "strided"]))
    if kind == "none":
        return None
    if kind == "plain":
        return np.empty(shape, dtype)
    return np.empty((*shape[:-1], 2 * shape[-1]), dtype)[..., ::2]


def check(
    kernel: Callable[..., np.ndarray],
    expected: np.ndarray,
    given_images: np.ndarray,
    out: object,
) -> None:
    before = given_images.copy()
    result = kernel(out=out)
    assert result is out or out is None
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(given_images, before)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_median_equals_the_reference(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 7))
    x = data.draw(images(smallest=size))
    out = filled_out(data, x.shape, x.dtype)
    expected = reference.median(x, size)
    check(lambda **more: kernels.median(x, size, **more), expected, x, out)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_bit_depth_equals_the_reference(data: st.DataObject) -> None:
    bits = data.draw(st.integers(1, 8))
    x = data.draw(images())
    x = np.where(np.abs(x) < 3e38, x, x.dtype.type(1))
    out = filled_out(data, x.shape, x.dtype)
    expected = reference.bit_depth(x, bits)
    check(lambda **more: kernels.bit_depth(x, bits, **more), expected, x, out)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_grid_mask_equals_the_reference(data: st.DataObject) -> None:
    x = data.draw(images())
    cell = data.draw(st.integers(1, 40))
    grid = (x.shape[0], -(-x.shape[1] // cell), -(-x.shape[2] // cell))
    views = data.draw(st.sampled_from([(), (0,), (1,), (3,)]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    keep = np.random.default_rng(seed).random((*views, *grid)) < 0.5
    fill = data.draw(st.sampled_from([0, 7, list(range(x.shape[3]))]))
    out = filled_out(data, (*views, *x.shape), x.dtype)
    expected = reference.grid_mask(x, keep, cell, fill)
    assert expected.shape == (*views, *x.shape)
    check(
        lambda **more: kernels.grid_mask(x, keep, cell, fill, **more), expected, x, out
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", range(2, 8))
def test_reference_median_equals_scipy(size: int, dtype: str) -> None:
    rng = np.random.default_rng(size)
    for shape in ((2, 9, 12, 3), (1, size, size, 1), (2, 13, 8, 8), (0, 8, 8, 3)):
        x = drawn(rng, shape, dtype)
        expected = ndimage.median_filter(x, size=(1, size, size, 1), mode="reflect")
        np.testing.assert_array_equal(reference.median(x, size), expected)


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [2, 3, 5, 6])
def test_median_equals_scipy_over_tiles(size: int, dtype: str) -> None:
    """Images taller and wider than the kernel's tiles, and channels to spare."""
    rng = np.random.default_rng(size)
    for shape in ((1, 150, 40, 3), (1, 20, 700, 3), (2, 70, 130, 8)):
        x = drawn(rng, shape, dtype)
        expected = ndimage.median_filter(x, size=(1, size, size, 1), mode="reflect")
        np.testing.assert_array_equal(kernels.median(x, size), expected)


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_median_orders_nan_last_as_the_reference_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 7))
    x = data.draw(images(smallest=size)).astype("float32")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    share = data.draw(st.sampled_from([0.002, 0.05, 0.5, 1.0]))
    negative_nan = np.copysign(np.float32(np.nan), np.float32(-1))
    for nan in (np.float32(np.nan), negative_nan):
        x = np.where(rng.random(x.shape) < share, nan, x)
    out = filled_out(data, x.shape, x.dtype)
    expected = reference.median(x, size)
    check(lambda **more: kernels.median(x, size, **more), expected, x, out)


@pytest.mark.long
@pytest.mark.parametrize("size", range(2, 8))
@pytest.mark.parametrize("shape", [(1, 9, 700, 3), (2, 70, 16, 2), (1, 8, 9, 1)])
def test_one_nan_is_found_wherever_it_is(size: int, shape: tuple[int, ...]) -> None:
    """It is the first, the last or any value; one thread's rows or another's."""
    rng = np.random.default_rng(size)
    x = drawn(rng, shape, "float32")
    x[x < 0.5] = np.inf
    for place in (0, x.size - 1, *rng.integers(0, x.size, 4)):
        holed = x.copy()
        holed.flat[place] = np.nan
        result = kernels.median(holed, size)
        np.testing.assert_array_equal(result, reference.median(holed, size))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_nan_elsewhere_leaves_zeros_and_subnormals(size: int) -> None:
    x = np.full((3, 8, 8, 1), -0.0, "float32")
    x[1], x[2], x[0, 4, 4] = -1e-45, -1e-40, np.nan
    result = kernels.median(x, size)
    np.testing.assert_array_equal(result, reference.median(x, size))
    assert not np.isnan(result).any()


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_of_uint8_is_the_formula_on_fractions(bits: int) -> None:
    levels = 2**bits - 1
    x = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1)
    expected = np.rint(255 * (np.rint(x / 255 * levels) / levels)).astype("uint8")
    np.testing.assert_array_equal(kernels.bit_depth(x, bits), expected)
    np.testing.assert_array_equal(reference.bit_depth(x, bits), expected)
    assert len(np.unique(expected)) == 2**bits


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_equals_the_division_to_the_last_bit(bits: int) -> None:
    rng = np.random.default_rng(bits)
    levels = np.arange(2**bits) / (2**bits - 1)
    exponents = rng.uniform(-44, 38, 20_000)
    special = [np.inf, -np.inf, np.nan, 0.0, -0.0, -1e-3, 3.4e38, -3.4e38, 1e-45]
    values = rng.standard_normal(20_000) * 10.0**exponents
    flat = np.concatenate([levels, special, rng.random(20_000), values])
    x = flat.astype("float32").reshape(1, 1, -1, 1)
    with np.errstate(over="ignore"):
        expected = reference.bit_depth(x, bits)
    result = kernels.bit_depth(x, bits)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(np.signbit(result), np.signbit(expected))


def test_bit_depth_rounds_half_to_even_and_keeps_nan() -> None:
    x = np.array([0.5, 0.500001, -0.25, 1.5, np.nan, np.inf], "float32")
    result = kernels.bit_depth(x.reshape(1, 1, 6, 1), bits=1).ravel()
    np.testing.assert_array_equal(
        result, np.array([0, 1, 0, 2, np.nan, np.inf], "float32")
    )


def test_bit_depth_equals_art() -> None:
    squeezing = pytest.importorskip("art.defences.preprocessor").FeatureSqueezing
    x = drawn(np.random.default_rng(0), (2, 32, 32, 3), "float32")
    for bits in (1, 4, 5):
        expected = squeezing(clip_values=(0, 1), bit_depth=bits)(x)[0]
        np.testing.assert_allclose(kernels.bit_depth(x, bits), expected, atol=6e-8)


def test_covered_pixels_are_exactly_the_fill() -> None:
    x = np.full((1, 4, 4, 2), np.nan, "float32")
    x[..., 1] = np.inf
    keep = np.array([[[False, True], [True, False]]])
    result = kernels.grid_mask(x, keep, 2, fill_value=(0.25, -0.0))
    covered = result[0, :2, :2]
    assert (covered[..., 0] == 0.25).all()
    assert (np.signbit(covered[..., 1])).all() and (covered[..., 1] == 0).all()
    np.testing.assert_array_equal(result[0, :2, 2:], x[0, :2, 2:])


def test_a_cell_may_be_larger_than_any_image() -> None:
    x = drawn(np.random.default_rng(0), (2, 5, 9, 3), "float32")
    keep = np.array([[[True]], [[False]]])
    result = kernels.grid_mask(x, keep, 2**70, 0.5)
    np.testing.assert_array_equal(result[0], x[0])
    assert (result[1] == 0.5).all()


def test_every_byte_but_zero_is_true() -> None:
    x = drawn(np.random.default_rng(0), (1, 4, 64, 1), "float32")
    keep = np.arange(256, dtype="uint8").view(bool).reshape(1, 4, 64)
    result = kernels.grid_mask(x, keep, 1, fill_value=2)
    assert result[0, 0, 0, 0] == 2
    np.testing.assert_array_equal(result.ravel()[1:], x.ravel()[1:])


# What was wrong in most calls on two cores: rows that are not whole vectors, in images
# that are divided.
DIVIDED = [
    ((3, 28, 35, 8), 3, 1),
    ((301, 28, 28, 1), 7, 5),
    ((1, 225, 225, 3), 25, 1),
    ((65, 30, 30, 3), 4, 2),
]


@pytest.mark.parametrize(("shape", "cell", "views"), DIVIDED)
@pytest.mark.parametrize("division", ["real", "threads", "cut"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_grid_mask_divided_within_images(
    dtype: str, division: str, shape: tuple[int, ...], cell: int, views: int
) -> None:
    rng = np.random.default_rng(0)
    x = drawn(rng, shape, dtype)
    grid = (shape[0], -(-shape[1] // cell), -(-shape[2] // cell))
    keep = rng.random((views, *grid)) < 0.5
    expected = reference.grid_mask(x, keep, cell)
    for threads in range(1, 8):
        with kernel_cases.divided(division, threads, rng):
            result = kernels.grid_mask(x, keep, cell)
        np.testing.assert_array_equal(result, expected)


def test_read_only_arrays_are_not_compiled_for_again() -> None:
    x = drawn(np.random.default_rng(0), (2, 8, 8, 1), "float32")
    keep = np.ones((2, 4, 4), bool)
    compiled = [
        (lambda: kernels.grid_mask(x, keep, 2), _grid_mask.mask_bands),
        (lambda: kernels.bit_depth(x, 3), _bit_depth.round_floats),
        (lambda: kernels.median(x, 2), _median_rows.kernel(2, 1)),
        (lambda: kernels.median(x, 5), _median.kernel(5)),
    ]
    for call, kernel in compiled:
        x.flags.writeable = keep.flags.writeable = True
        expected, signatures = call(), len(kernel.signatures)
        x.flags.writeable = keep.flags.writeable = False
        np.testing.assert_array_equal(call(), expected)
        assert len(kernel.signatures) == signatures and not x.flags.writeable


@pytest.mark.parametrize(
    ("kernel", "cases"),
    [("grid_mask", 400), ("bit_depth", 60), ("median", 120), ("superset_sums", 60)],
)
def test_drawn_cases_divided_anywhere(kernel: str, cases: int) -> None:
    """A few of those that `make fuzz` draws; it runs one again by its seed."""
    for seed in range(cases):
        kernel_cases.check_drawn(seed, kernel, few=True)


IMAGES = np.zeros((2, 8, 9, 3), "float32")
KEEP = np.ones((2, 2, 3), bool)
READ_ONLY = np.zeros_like(IMAGES)
READ_ONLY.flags.writeable = False

BAD = [
    ("median", (IMAGES[0], 3), ValueError, "images"),
    ("median", (IMAGES.astype("float64"), 3), TypeError, "float32 or uint8"),
    ("median", (np.zeros((1, 3, 8, 9), "uint8"), 3), ValueError, "1 to 8 channels"),
    ("median", (np.zeros((1, 3, 8, 0), "uint8"), 3), ValueError, "1 to 8 channels"),
    ("median", ([[1.0]], 3), ValueError, "images"),
    ("median", (IMAGES, 0), ValueError, "size"),
    ("median", (IMAGES, 1), ValueError, "size"),
    ("median", (IMAGES, 8), ValueError, "size"),
    ("median", (IMAGES, 3.0), TypeError, "size"),
    ("median", (IMAGES, True), TypeError, "size"),
    ("median", (IMAGES[:, :4], 5), ValueError, "size"),
    ("median", (IMAGES[:, :, :4], 5), ValueError, "size"),
    ("median", (IMAGES, 3, IMAGES[:1]), ValueError, "out"),
    ("median", (IMAGES, 3, IMAGES.astype("uint8")), TypeError, "out"),
    ("median", (IMAGES, 3, IMAGES.tolist()), TypeError, "out"),
    ("median", (IMAGES, 3, READ_ONLY), ValueError, "out"),
    ("median", (IMAGES, 3, IMAGES), ValueError, "out"),
    ("median", (IMAGES, 3, IMAGES[::-1]), ValueError, "out"),
    ("median", (IMAGES, 3, None, "gpu"), ValueError, "device"),
    ("bit_depth", (IMAGES, 0), ValueError, "bits"),
    ("bit_depth", (IMAGES, 9), ValueError, "bits"),
    ("bit_depth", (IMAGES, "4"), TypeError, "bits"),
    ("bit_depth", (IMAGES.astype("int32"), 4), TypeError, "images"),
    ("bit_depth", (IMAGES, 4, IMAGES), ValueError, "out"),
    ("grid_mask", (IMAGES, KEEP, 0), ValueError, "cell_size"),
    ("grid_mask", (IMAGES, KEEP, 3), ValueError, "keep"),
    ("grid_mask", (IMAGES, KEEP[:1], 4), ValueError, "keep"),
    ("grid_mask", (IMAGES, KEEP[0], 4), ValueError, "keep"),
    ("grid_mask", (IMAGES, KEEP[None, None], 4), ValueError, "keep"),
    ("grid_mask", (IMAGES, KEEP.astype("uint8"), 4), TypeError, "keep"),
    ("grid_mask", (IMAGES, KEEP, 4, (0, 1)), ValueError, "fill_value"),
    ("grid_mask", (IMAGES, KEEP, 4, "black"), TypeError, "fill_value"),
    ("grid_mask", (IMAGES.astype("uint8"), KEEP, 4, 0.5), ValueError, "fill_value"),
    ("grid_mask", (IMAGES.astype("uint8"), KEEP, 4, 256), ValueError, "fill_value"),
    ("grid_mask", (IMAGES, KEEP, 4, 0, IMAGES[None]), ValueError, "out"),
    ("grid_mask", (IMAGES, KEEP, 4, 0, IMAGES), ValueError, "out"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "says"), BAD)
def test_bad_input_is_named(
    name: str, arguments: tuple, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        getattr(kernels, name)(*arguments)
    assert "Received: " in str(raised.value)


def test_interleaved_halves_of_one_array_do_not_overlap() -> None:
    both = np.zeros((1, 6, 6, 4), "float32")
    both[..., :2] = drawn(np.random.default_rng(0), (1, 6, 6, 2), "float32")
    kernels.median(both[..., :2], 3, out=both[..., 2:])
    np.testing.assert_array_equal(both[..., 2:], reference.median(both[..., :2], 3))


def test_forcing_a_missing_cuda_device_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "keras_maskdef.kernels.cuda", None)
    with pytest.raises(RuntimeError, match="numba-cuda"):
        kernels.median(IMAGES, 3, device="cuda")


def test_packages_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_compiler() -> None:
        raise AttributeError("module 'numpy' has no attribute 'row_stack'")

    broken: Any = ModuleType("keras_maskdef.kernels.cuda")
    broken.check_compiler = check_compiler
    monkeypatch.setitem(sys.modules, broken.__name__, broken)
    with pytest.raises(RuntimeError, match=r"Received: numba-cuda .*row_stack") as said:
        kernels.median(IMAGES, 3, device="cuda")
    assert "keras-maskdef[cuda13]" in str(said.value)
    for package in ("numba", "llvmlite", "numpy"):
        assert f"{package} {version(package)}" in str(said.value)


WITHOUT_ROW_STACK = """
import numpy as np
from keras_maskdef import kernels

images = np.zeros((1, 4, 4, 1), "float32")
kernels.median(images, 3)  # numba itself has what it needs
if hasattr(np, "row_stack"):
    del np.row_stack
try:
    kernels.median(images, 3, device="cuda")
except RuntimeError as error:
    print(error)
"""


@pytest.mark.long
def test_numba_cuda_that_does_not_fit_numpy_is_found_before_a_kernel_is_tried() -> None:
    """NumPy 2.5 has no `row_stack`, which numba-cuda 0.30 needs to compile."""
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    if version("numba-cuda").split(".")[:2] != ["0", "30"]:
        pytest.skip("another numba-cuda may need no row_stack")
    printed = run_python(WITHOUT_ROW_STACK)
    assert f"numba-cuda {version('numba-cuda')}" in printed
    assert "no attribute 'row_stack'" in printed


class OnDevice:
    """An array that says it lives on a CUDA device."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def test_device_arrays_are_told_and_not_read_on_the_host() -> None:
    with pytest.raises(ValueError, match="device"):
        kernels.median(OnDevice(), 3, device="cpu")
    with pytest.raises(TypeError, match="out"):
        kernels.median(IMAGES, 3, out=OnDevice())


def run_python(code: str, *arguments: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.long
def test_import_is_light() -> None:
    loaded = run_python(
        "import sys, keras_maskdef.kernels; print('numba.cuda' in sys.modules, "
        "'numba' in sys.modules)"
    )
    assert loaded.split() == ["False", "False"]


UNCOMPILED = """
import sys
import numpy as np
from keras_maskdef import kernels

given = np.load(sys.argv[1])
for x, masked, rounded, filtered in (
    [given[f"{name}_{dtype}"] for name in ("x", "masked", "rounded", "filtered")]
    for dtype in ("float32", "uint8")
):
    out = np.empty_like(masked)
    assert kernels.grid_mask(x, given["keep"], 3, 7, out=out) is out
    np.testing.assert_array_equal(out, masked)
    np.testing.assert_array_equal(kernels.bit_depth(x, 3), rounded)
    np.testing.assert_array_equal(kernels.median(x, 5), filtered)
np.testing.assert_array_equal(kernels.superset_sums(np.array([1, 2, 4, 8]))[0], 15)
"""


@pytest.mark.long
def test_the_same_pixels_where_numba_compiles_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"keep": rng.random((2, 3, 3, 4)) < 0.5}
    for dtype in DTYPES:
        x = drawn(rng, (3, 9, 12, 2), dtype)
        if dtype == "float32":
            x[0, 0, 0], x[1, 4] = 3e38, np.nan
        arrays[f"x_{dtype}"] = x
        arrays[f"masked_{dtype}"] = kernels.grid_mask(x, arrays["keep"], 3, 7)
        arrays[f"rounded_{dtype}"] = kernels.bit_depth(x, 3)
        arrays[f"filtered_{dtype}"] = kernels.median(x, 5)
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays)
    run_python(UNCOMPILED, str(path), NUMBA_DISABLE_JIT="1")


THREADED = """
import threading
import numpy as np
import tensorflow as tf
from keras_maskdef import kernels
from keras_maskdef.kernels import reference

x = np.random.default_rng(0).random((64, 32, 32, 3), "float32")
keep = np.random.default_rng(1).random((64, 4, 4)) < 0.5


def every_kernel(images, keep):
    masked = kernels.grid_mask(images, keep, 8)
    return kernels.median(kernels.bit_depth(masked, 5), 3)


def mapped(images, keep):
    images = tf.numpy_function(every_kernel, [images, keep], tf.float32)
    return tf.ensure_shape(images, (16, 32, 32, 3))


data = tf.data.Dataset.from_tensor_slices((x, keep)).batch(16, drop_remainder=True)
data = data.repeat(8).map(mapped, num_parallel_calls=8)
expected = reference.grid_mask(x, keep, 8)
expected = reference.median(reference.bit_depth(expected, 5), 3)
for i, result in enumerate(data):
    first = i % 4 * 16
    np.testing.assert_array_equal(result, expected[first : first + 16])
"""


@pytest.mark.long
def test_tf_data_maps_in_parallel_under_workqueue() -> None:
    run_python(THREADED, NUMBA_THREADING_LAYER="workqueue", CUDA_VISIBLE_DEVICES="")


def test_eight_threads_call_every_kernel_at_once() -> None:
    x = drawn(np.random.default_rng(0), (64, 32, 32, 3), "float32")
    keep = np.random.default_rng(1).random((3, 64, 4, 4)) < 0.5
    expected = (
        reference.grid_mask(x, keep, 8),
        reference.bit_depth(x, 4),
        reference.median(x, 3),
    )
    start, failures = threading.Barrier(8), []

    def call() -> None:
        start.wait()
        for _ in range(5):
            results = (
                kernels.grid_mask(x, keep, 8),
                kernels.bit_depth(x, 4),
                kernels.median(x, 3),
            )
            for result, wanted in zip(results, expected, strict=True):
                if not np.array_equal(result, wanted):
                    failures.append(result)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_threads_of_its_own() -> None:
    run_python("""
import os, warnings
import numpy as np
from keras_maskdef import kernels

x = np.random.default_rng(0).random((256, 32, 32, 3), "float32")
expected = kernels.median(x, 3)
warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the point
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(kernels.median(x, 3), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
""")


@given(bits=st.integers(0, 9), whole=st.booleans(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_superset_sums_equal_the_reference(bits: int, whole: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-9, 9, 2**bits) if whole else rng.normal(size=2**bits)
    before = values.copy()
    sums = kernels.superset_sums(values)
    np.testing.assert_allclose(sums, reference.superset_sums(values), atol=1e-12)
    np.testing.assert_array_equal(values, before)
    assert sums.dtype == values.dtype


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros(4, "float32"), TypeError),
        (np.zeros(6), ValueError),
        (np.zeros(0), ValueError),
        (np.zeros((2, 2)), ValueError),
    ],
)
def test_superset_sums_check_their_values(values: np.ndarray, error: type) -> None:
    with pytest.raises(error, match="`values` must be"):
        kernels.superset_sums(values)
