"""Non-local means at 13-3-4 against OpenCV's loop over images and a bare copy.

The time depends on the images: only likes have a weight. 256x32x32x3 are test images
of CIFAR-10 where TFDS_DATA_DIR, or the default folder of tensorflow-datasets, holds
them; `images` of the results tells whether they were. The other sizes are made up.
"""

import cv2
import numpy as np
import pytest

from keras_maskdef import datasets, kernels

SHAPES = [(256, 32, 32, 3), (256, 28, 28, 1), (64, 64, 64, 3), (16, 224, 224, 3)]
STRENGTH, PATCH, SEARCH = 4, 3, 13
LIBRARIES = {
    "kernel": "keras_maskdef",
    "opencv_loop": "OpenCV",
    "bare_copy": "bare copy",
}


def opencv_loop(images, out):
    for image, target in zip(images, out, strict=True):
        if image.shape[-1] == 3:
            cv2.fastNlMeansDenoisingColored(
                image, target, STRENGTH, STRENGTH, PATCH, SEARCH
            )
        else:
            cv2.fastNlMeansDenoising(image, target, STRENGTH, PATCH, SEARCH)


def opencv_loop_on_floats(images, out):
    levels = np.clip(np.rint(images * np.float32(255)), 0, 255).astype(np.uint8)
    filtered = np.empty_like(levels)
    opencv_loop(levels, filtered)
    np.divide(filtered, np.float32(255), out=out)


def kernel(images, out):
    kernels.nl_means(images, STRENGTH, PATCH, SEARCH, out=out)


def bare_copy(images, out):
    np.copyto(out, images)


def cifar10(batch):
    try:
        data = datasets.load("cifar10", "test")
    except (FileNotFoundError, ImportError):
        return None
    return np.rint(data.images[:batch] * np.float32(255)).astype(np.uint8)


def smooth_pictures(batch, height, width, channels):
    """Smooth pictures with some noise, as photographs have: like neighbors exist."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (batch, 4, 4, channels)).astype(np.uint8)
    smooth = np.stack(
        [cv2.resize(x, (width, height)).reshape(height, width, -1) for x in coarse]
    )
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=SHAPES, ids=lambda s: "x".join(map(str, s)))
def pictures(request):
    """Levels of a shape, and what they show."""
    real = cifar10(request.param[0]) if request.param == SHAPES[0] else None
    if real is not None:
        return real, "CIFAR-10"
    return smooth_pictures(*request.param), "made up"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("contender", ["kernel", "opencv_loop", "bare_copy"])
def test_nl_means(benchmark, pictures, dtype, contender):
    levels, shown = pictures
    images = levels if dtype == "uint8" else levels / np.float32(255)
    opencv = opencv_loop if dtype == "uint8" else opencv_loop_on_floats
    run = {"kernel": kernel, "opencv_loop": opencv, "bare_copy": bare_copy}[contender]
    benchmark.group = f"nl_means {'x'.join(map(str, images.shape))} {dtype}"
    benchmark.extra_info.update(
        kernel="nl_means 13-3-4",
        library=LIBRARIES[contender],
        shape=list(images.shape),
        dtype=dtype,
        images=shown,
    )
    out = np.empty_like(images)
    benchmark.pedantic(run, args=(images, out), rounds=5, warmup_rounds=1)
    if contender != "bare_copy":
        expected = np.empty_like(images)
        opencv(images, expected)
        np.testing.assert_array_equal(out, expected)
