"""The CPU kernels against a bare copy and the libraries in use today.

Each case runs once before it is timed, so no compilation or tracing is in a timing.
Every rival gets what it takes without a copy: OpenCV is called image by image, as it
takes no batches; the bare copy and our kernels write into the same kind of array, made
and touched beforehand; the others make their own results, as their interfaces ask.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keras_maskdef import kernels

SIZES = ((256, 32, 32, 3), (256, 28, 28, 1), (64, 64, 64, 3), (16, 224, 224, 3))
DTYPES = ("float32", "uint8")
VIEWS, CELL = 5, 8

Call = Callable[[], Any]


def images(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if dtype == "uint8":
        return rng.integers(0, 256, shape, "uint8")
    return rng.random(shape, "float32")


def bare_copy(x: np.ndarray, **_: Any) -> Call:
    out = np.zeros_like(x)
    return lambda: np.copyto(out, x)


# Median: rivals take (x, size).


def median_ours(x: np.ndarray, size: int) -> Call:
    out = np.zeros_like(x)
    return lambda: kernels.median(x, size, out=out)


def median_opencv(x: np.ndarray, size: int) -> Call:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if size % 2 == 0 or (size > 5 and x.dtype != np.uint8):
        pytest.skip("OpenCV has no such window")

    def run() -> None:
        for image in x:
            cv2.medianBlur(image, size)

    return run


def median_scipy(x: np.ndarray, size: int) -> Call:
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")
    return lambda: ndimage.median_filter(x, (1, size, size, 1), mode="reflect")


def median_scikit_image(x: np.ndarray, size: int) -> Call:
    filters = pytest.importorskip(
        "skimage.filters", reason="scikit-image is not installed"
    )
    window = np.ones((1, size, size, 1))
    return lambda: filters.median(x, window, mode="reflect")


def median_art(x: np.ndarray, size: int) -> Call:
    art = pytest.importorskip("art.defences.preprocessor", reason="ART is missing")
    smoothing = art.SpatialSmoothing(window_size=size)
    return lambda: smoothing(x)


def tensorflow_median(x: Any, size: int) -> Any:
    """Networks of min and max for 2x2 and 3x3; above, the window's values sorted."""
    import tensorflow as tf

    low, high = tf.minimum, tf.maximum
    before, after = size // 2, (size - 1) // 2
    pads = [[0, 0], [before, after], [before, after], [0, 0]]
    padded = tf.pad(x, pads, mode="SYMMETRIC")
    height, width = x.shape[1:3]

    def middle(a: Any, b: Any, c: Any) -> Any:
        return high(low(a, b), low(high(a, b), c))

    def beside(values: Any) -> list[Any]:
        return [values[:, :, j : j + width] for j in range(size)]

    below = [padded[:, i : i + height] for i in range(size)]
    if size == 2:
        lows, highs = beside(low(*below)), beside(high(*below))
        return high(high(*lows), low(*highs))
    if size == 3:
        lows = beside(low(low(below[0], below[1]), below[2]))
        highs = beside(high(high(below[0], below[1]), below[2]))
        return middle(
            high(high(lows[0], lows[1]), lows[2]),
            middle(*beside(middle(*below))),
            low(low(highs[0], highs[1]), highs[2]),
        )
    values = tf.stack([v for row in below for v in beside(row)], axis=-1)
    return tf.sort(values, axis=-1)[..., size * size // 2]


def median_tensorflow(x: np.ndarray, size: int) -> Call:
    return in_tensorflow(lambda x: tensorflow_median(x, size), x)


def median_tensorflow_xla(x: np.ndarray, size: int) -> Call:
    return in_tensorflow(lambda x: tensorflow_median(x, size), x, xla=True)


# Bit depth: rivals take (x, bits).


def bit_depth_ours(x: np.ndarray, bits: int) -> Call:
    out = np.zeros_like(x)
    return lambda: kernels.bit_depth(x, bits, out=out)


def bit_depth_numpy(x: np.ndarray, bits: int) -> Call:
    levels = np.float32(2**bits - 1)
    if x.dtype == np.uint8:
        pytest.skip("the formula in NumPy is timed on float32")
    return lambda: np.rint(x * levels) / levels


def bit_depth_art(x: np.ndarray, bits: int) -> Call:
    art = pytest.importorskip("art.defences.preprocessor", reason="ART is missing")
    if x.dtype == np.uint8:
        pytest.skip("ART's FeatureSqueezing takes floats")
    squeezing = art.FeatureSqueezing(clip_values=(0, 1), bit_depth=bits)
    return lambda: squeezing(x)


def bit_depth_tensorflow(x: np.ndarray, bits: int, xla: bool = False) -> Call:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    if x.dtype == np.uint8:
        pytest.skip("the formula in TensorFlow is timed on float32")
    levels = float(2**bits - 1)
    return in_tensorflow(lambda x: tf.round(x * levels) / levels, x, xla=xla)


def bit_depth_tensorflow_xla(x: np.ndarray, bits: int) -> Call:
    return bit_depth_tensorflow(x, bits, xla=True)


# Grid mask: rivals take (x, keep).


def grid_mask_broadcast_copy(x: np.ndarray, keep: np.ndarray) -> Call:
    out = np.zeros((VIEWS, *x.shape), x.dtype)
    return lambda: np.copyto(out, x)


def grid_mask_ours(x: np.ndarray, keep: np.ndarray) -> Call:
    out = np.zeros((VIEWS, *x.shape), x.dtype)
    return lambda: kernels.grid_mask(x, keep, CELL, out=out)


def grid_mask_numpy(x: np.ndarray, keep: np.ndarray) -> Call:
    height, width = x.shape[1:3]

    def run() -> np.ndarray:
        pixels = keep.repeat(CELL, 2).repeat(CELL, 3)[:, :, :height, :width, None]
        return x * pixels

    return run


def grid_mask_tensorflow(x: np.ndarray, keep: np.ndarray, xla: bool = False) -> Call:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    height, width = x.shape[1:3]

    def masked(x: Any) -> Any:
        pixels = tf.repeat(tf.repeat(tf.constant(keep), CELL, 2), CELL, 3)
        return x * tf.cast(pixels[:, :, :height, :width, None], x.dtype)

    return in_tensorflow(masked, x, xla=xla)


def grid_mask_tensorflow_xla(x: np.ndarray, keep: np.ndarray) -> Call:
    return grid_mask_tensorflow(x, keep, xla=True)


def in_tensorflow(
    function: Callable[[Any], Any], x: np.ndarray, xla: bool = False
) -> Call:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    compiled = tf.function(function, jit_compile=xla)
    tensor = tf.constant(x)
    return lambda: compiled(tensor)


MEDIANS = {
    "keras_maskdef": median_ours,
    "bare copy": bare_copy,
    "OpenCV": median_opencv,
    "scipy": median_scipy,
    "scikit-image": median_scikit_image,
    "ART": median_art,
    "TensorFlow": median_tensorflow,
    "TensorFlow XLA": median_tensorflow_xla,
}
BIT_DEPTHS = {
    "keras_maskdef": bit_depth_ours,
    "bare copy": bare_copy,
    "NumPy": bit_depth_numpy,
    "ART": bit_depth_art,
    "TensorFlow": bit_depth_tensorflow,
    "TensorFlow XLA": bit_depth_tensorflow_xla,
}
GRID_MASKS = {
    "keras_maskdef": grid_mask_ours,
    "bare copy": grid_mask_broadcast_copy,
    "NumPy": grid_mask_numpy,
    "TensorFlow": grid_mask_tensorflow,
    "TensorFlow XLA": grid_mask_tensorflow_xla,
}
# Slow rivals are timed on the first size only, to keep the run within minutes.
SLOW = {"scipy", "scikit-image", "ART", "TensorFlow", "TensorFlow XLA"}


def measure(
    benchmark: Any, kernel: str, library: str, x: np.ndarray, call: Call
) -> None:
    benchmark.extra_info.update(
        kernel=kernel, library=library, shape=list(x.shape), dtype=str(x.dtype)
    )
    benchmark.group = f"{kernel} {'x'.join(map(str, x.shape))} {x.dtype}"
    slow = library in SLOW and kernel.startswith("median")
    rounds = 3 if slow else 41
    benchmark.pedantic(call, warmup_rounds=1 if slow else 5, rounds=rounds)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("library", MEDIANS)
def test_median(
    benchmark: Any, library: str, size: int, shape: tuple[int, ...], dtype: str
) -> None:
    if library in SLOW and (shape != SIZES[0] or (dtype == "uint8" and size != 3)):
        pytest.skip("a slow rival, timed on the first size")
    x = images(shape, dtype)
    call = MEDIANS[library](x, size=size)
    measure(benchmark, f"median {size}x{size}", library, x, call)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("library", BIT_DEPTHS)
def test_bit_depth(
    benchmark: Any, library: str, shape: tuple[int, ...], dtype: str
) -> None:
    x = images(shape, dtype)
    measure(benchmark, "bit depth 5", library, x, BIT_DEPTHS[library](x, bits=5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("library", GRID_MASKS)
def test_grid_mask(
    benchmark: Any, library: str, shape: tuple[int, ...], dtype: str
) -> None:
    x = images(shape, dtype)
    grid = (VIEWS, shape[0], -(-shape[1] // CELL), -(-shape[2] // CELL))
    keep = np.random.default_rng(1).random(grid) < 0.25
    measure(benchmark, f"{VIEWS} views", library, x, GRID_MASKS[library](x, keep))
