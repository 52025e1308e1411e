"""Non-local means: kernel and reference against OpenCV, bit for bit."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import kernel_cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_maskdef.kernels import _lab
from keras_maskdef.kernels import _nl_means_reference as reference

from keras_maskdef import kernels


def opencv(images, strength, patch_size, search_size):
    def denoise(image):
        if image.shape[-1] == 3:
            return cv2.fastNlMeansDenoisingColored(
                image, None, strength, strength, patch_size, search_size
            )
        gray = cv2.fastNlMeansDenoising(image, None, strength, patch_size, search_size)
        return gray[..., np.newaxis]

    return np.stack([denoise(image) for image in images])


def noisy(shape, seed, contrast=256):
    """Smooth images with noise: like neighbours, but no two the same."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (shape[0], 1, 1, shape[3]))
    ramp = np.arange(shape[1])[:, None, None] * rng.integers(0, 5)
    noise = rng.integers(-contrast // 2, contrast // 2 + 1, shape)
    return np.clip(base + ramp + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cifar_images():
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not os.path.isdir(os.path.join(folder, "cifar10")):
        pytest.skip("CIFAR-10 is not below TFDS_DATA_DIR")
    import tensorflow_datasets as tfds

    data = tfds.load("cifar10", split="test[:64]", data_dir=folder, download=False)
    return np.stack([example["image"] for example in tfds.as_numpy(data)])


odd = st.integers(0, 6).map(lambda half: 2 * half + 1)
sides = st.integers(5, 40)
windows = {
    "strength": st.floats(0.5, 40, width=32) | st.sampled_from([1e-30, 1e30]),
    "patch_size": odd,
    "search_size": odd,
}


@given(
    batch=st.integers(1, 2),
    height=sides,
    width=sides,
    channels=st.sampled_from([1, 3]),
    contrast=st.sampled_from([4, 16, 64, 512]),
    seed=st.integers(0, 2**16),
    **windows,
)
@settings(deadline=None, derandomize=True)
def test_kernel_equals_opencv(
    batch, height, width, channels, contrast, seed, strength, patch_size, search_size
):
    images = noisy((batch, height, width, channels), seed, contrast)
    window = (strength, patch_size, search_size)
    np.testing.assert_array_equal(
        kernels.nl_means(images, *window), opencv(images, *window)
    )


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    channels=st.sampled_from([1, 3]),
    contrast=st.sampled_from([4, 16, 64]),
    seed=st.integers(0, 2**16),
    **windows,
)
@settings(deadline=None, derandomize=True, max_examples=30)
def test_reference_equals_opencv(
    height, width, channels, contrast, seed, strength, patch_size, search_size
):
    images = noisy((1, height, width, channels), seed, contrast)
    window = (strength, patch_size, search_size)
    np.testing.assert_array_equal(
        reference.nl_means(images, *window), opencv(images, *window)
    )


@pytest.mark.parametrize("window", [(4, 3, 13), (2, 3, 13), (4, 3, 11), (10, 7, 21)])
def test_kernel_equals_opencv_on_photographs(cifar_images, window):
    np.testing.assert_array_equal(
        kernels.nl_means(cifar_images, *window), opencv(cifar_images, *window)
    )


@pytest.mark.parametrize("height", [31, 32, 33, 64, 70])
def test_images_are_cut_into_strips_without_a_seam(height):
    images = noisy((2, height, 9, 3), seed=height, contrast=16)
    np.testing.assert_array_equal(
        kernels.nl_means(images, 8, 3, 7), opencv(images, 8, 3, 7)
    )


@pytest.mark.parametrize("window", [(5, 3, 61), (30, 31, 5), (20, 127, 3)])
def test_windows_larger_than_the_image(window):
    images = noisy((1, 6, 9, 3), seed=1, contrast=32)
    np.testing.assert_array_equal(
        kernels.nl_means(images, *window), opencv(images, *window)
    )


@pytest.mark.parametrize(
    "convert, in_numpy, code",
    [
        (_lab.encode, reference.encode, cv2.COLOR_LBGR2Lab),
        (_lab.decode, reference.decode, cv2.COLOR_Lab2LBGR),
    ],
)
def test_color_conversion_equals_opencv_for_every_input(convert, in_numpy, code):
    levels = np.arange(256, dtype=np.uint8)
    converted = np.empty((256, 256, 3), np.uint8)
    for first in levels:
        plane = np.stack(np.meshgrid([first], levels, levels), axis=-1)[:, 0]
        plane = np.ascontiguousarray(plane)
        convert(0, 256 * 256, plane.reshape(-1), converted.reshape(-1))
        expected = cv2.cvtColor(plane, code)
        np.testing.assert_array_equal(converted, expected)
        if first % 16 == 0:
            np.testing.assert_array_equal(in_numpy(plane), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_float_images_are_filtered_in_256_levels(channels):
    rng = np.random.default_rng(0)
    images = rng.normal(0.5, 0.3, (3, 12, 10, channels)).astype(np.float32)
    images[0, :4] = [[np.nan], [np.inf], [-np.inf], [-0.0]] * 2 + [[0.5 / 255]] * 2
    levels = np.clip(np.rint(np.nan_to_num(images * 255, nan=0)), 0, 255)
    expected = opencv(levels.astype(np.uint8), 4, 3, 13)
    result = kernels.nl_means(images, 4, 3, 13)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected / np.float32(255))
    np.testing.assert_array_equal(result, reference.nl_means(images, 4, 3, 13))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (0, 8, 8, 1), (2, 0, 8, 3)])
def test_empty_images(shape, dtype):
    result = kernels.nl_means(np.empty(shape, dtype), 4, 3, 13)
    assert result.shape == shape and result.dtype == dtype


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[::2],
        lambda x: x[:, ::-1, 2:],
        lambda x: x[..., ::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x.transpose(0, 2, 1, 3),
    ],
)
def test_strided_images_are_read_and_not_written(view, dtype):
    images = noisy((4, 10, 12, 3), seed=2, contrast=16)
    images = images if dtype == "uint8" else images / np.float32(255)
    before = images.copy()
    images.flags.writeable = False
    result = kernels.nl_means(view(images), 4, 3, 5)
    expected = kernels.nl_means(np.ascontiguousarray(view(images)), 4, 3, 5)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_out_is_filled_and_returned(channels):
    images = noisy((2, 9, 8, channels), seed=3, contrast=16)
    expected = kernels.nl_means(images, 4, 3, 5)
    whole = np.full((2, 9, 16, channels), 7, np.uint8)
    for out in (np.empty_like(images), whole[:, :, ::2]):
        assert kernels.nl_means(images, 4, 3, 5, out=out) is out
        np.testing.assert_array_equal(out, expected)
    assert np.all(whole[:, :, 1::2] == 7)


def test_a_constant_image_stays_as_it_is():
    images = np.full((1, 8, 8, 1), 131, np.uint8)
    np.testing.assert_array_equal(kernels.nl_means(images, 4, 3, 13), images)


def test_the_first_channel_is_read_as_blue():
    images = noisy((1, 16, 16, 3), seed=4, contrast=32)
    reversed_twice = kernels.nl_means(images[..., ::-1], 10, 3, 7)[..., ::-1]
    assert np.any(kernels.nl_means(images, 10, 3, 7) != reversed_twice)


def test_eight_threads_at_once():
    images = [noisy((3, 20, 16, 3), seed, contrast=32) for seed in range(8)]
    expected = [opencv(batch, 4, 3, 13) for batch in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            results = pool.map(lambda x: kernels.nl_means(x, 4, 3, 13), images)
            for result, wanted in zip(results, expected, strict=True):
                np.testing.assert_array_equal(result, wanted)


def test_drawn_cases_divided_anywhere():
    """A few of those that `make fuzz` draws; it runs one again by its seed."""
    for seed in range(80):
        kernel_cases.check_drawn(seed, "nl_means", few=True)


IMAGES = np.zeros((2, 8, 8, 3), np.uint8)
GOOD = {"images": IMAGES, "strength": 4, "patch_size": 3, "search_size": 13}


@pytest.mark.parametrize(
    "bad, error, message",
    [
        ({"images": IMAGES[0]}, ValueError, r"`images` .*images.shape=\(8, 8, 3\)"),
        ({"images": IMAGES[..., :2]}, ValueError, "1 or 3 channels"),
        ({"images": IMAGES.astype(float)}, TypeError, "images.dtype=float64"),
        ({"strength": 0}, ValueError, "strength=0"),
        ({"strength": -1.5}, ValueError, "strength=-1.5"),
        ({"strength": float("nan")}, ValueError, "strength=nan"),
        ({"strength": float("inf")}, ValueError, "strength=inf"),
        ({"strength": "4"}, TypeError, "strength='4'"),
        ({"strength": True}, TypeError, "strength=True"),
        ({"patch_size": 4}, ValueError, "`patch_size` must be odd.*patch_size=4"),
        ({"patch_size": 0}, ValueError, "patch_size=0"),
        ({"patch_size": 129}, ValueError, "patch_size=129"),
        ({"patch_size": 3.0}, TypeError, "patch_size=3.0"),
        ({"search_size": 12}, ValueError, "`search_size` must be odd"),
        ({"search_size": -1}, ValueError, "search_size=-1"),
        ({"search_size": 2903}, ValueError, "search_size=2903"),
        ({"out": np.empty((2, 8, 8, 1), np.uint8)}, ValueError, "`out`"),
        ({"out": np.empty((2, 8, 8, 3), np.float32)}, TypeError, "out.dtype=float32"),
        ({"out": IMAGES}, ValueError, "share memory"),
        ({"device": "tpu"}, ValueError, "device='tpu'"),
        ({"device": "cuda"}, RuntimeError, "no CUDA kernel"),
    ],
)
def test_bad_arguments_are_refused(bad, error, message):
    with pytest.raises(error, match=message):
        kernels.nl_means(**{**GOOD, **bad})


@pytest.mark.parametrize("size", [2, 4, 12])
def test_opencv_takes_the_next_odd_number_for_an_even_size(size):
    # Why even sizes are refused: they would say less than they seem to.
    images = noisy((1, 12, 12, 1), seed=5, contrast=16)
    for even, odd_ in (((size, 13), (size + 1, 13)), ((3, size), (3, size + 1))):
        np.testing.assert_array_equal(
            opencv(images, 6, *even), opencv(images, 6, *odd_)
        )


BOUNDS = """
import numpy as np
from keras_maskdef import kernels
rng = np.random.default_rng(0)
for channels in (1, 3):
    for window in ((0.5, 1, 5), (4, 3, 5), (40, 5, 3)):
        images = rng.integers(0, 256, (2, 9, 8, channels), "uint8")
        kernels.nl_means(images, *window)
"""


def run(code, **environment):
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_nothing_is_read_outside_an_array():
    """A weight that is not used was once looked up outside its table, and crashed."""
    run(BOUNDS, NUMBA_BOUNDSCHECK="1")


UNCOMPILED = """
import cv2
import numpy as np
from keras_maskdef import kernels
images = np.random.default_rng(0).integers(0, 256, (1, 9, 8, 3), "uint8")
expected = cv2.fastNlMeansDenoisingColored(images[0], None, 20, 20, 3, 5)
np.testing.assert_array_equal(kernels.nl_means(images, 20, 3, 5)[0], expected)
floats = images / np.float32(255)
np.testing.assert_array_equal(
    kernels.nl_means(floats, 20, 3, 5)[0], expected / np.float32(255)
)
"""


def test_the_same_pixels_where_numba_compiles_nothing():
    run(UNCOMPILED, NUMBA_DISABLE_JIT="1")
