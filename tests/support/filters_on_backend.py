"""The filter layers on the backend that KERAS_BACKEND names; run by test_native.py."""

import keras
import numpy as np
from keras import ops

import keras_maskdef as kmd
from keras_maskdef import kernels

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((2, 9, 11, 3)).astype("float32")
UPSTREAM = RANDOM.random(IMAGES.shape).astype("float32")
FILTERS = {
    "bit_depth": (kmd.BitDepthReduction, (3,)),
    "median": (kmd.MedianFilter, (3,)),
    "nl_means": (kmd.NonLocalMeans, (4, 3, 3)),
}


def ways_by_jax(layer, images, upstream):
    import jax

    by_batch = jax.vmap(lambda images: layer(images[None])[0])
    for call in (layer, jax.jit(layer), by_batch):
        filtered, pull_back = jax.vjp(call, images)
        yield filtered, *pull_back(upstream)


def ways_by_torch(layer, images, upstream):
    import torch

    calls = [layer]
    if layer.implementation == "native":
        calls.append(torch.compile(layer, backend="aot_eager"))
    for call in calls:
        tensor = torch.tensor(images, requires_grad=True)
        filtered = call(tensor)
        filtered.backward(torch.tensor(upstream))
        yield filtered, tensor.grad


def same(result, expected):
    result = ops.convert_to_numpy(ops.stop_gradient(result))
    np.testing.assert_array_equal(result, expected)


def ways(layer, images=IMAGES, upstream=UPSTREAM):
    """Yields the filtered images and their gradient, called in several ways."""
    by_backend = {"jax": ways_by_jax, "torch": ways_by_torch}
    return by_backend[keras.backend.backend()](layer, images, upstream)


def check_filter(name, implementation):
    build, parameters = FILTERS[name]
    layer = build(*parameters, implementation=implementation)
    expected = getattr(kernels, name)(IMAGES, *parameters)
    same(layer(IMAGES[0]), expected[0])
    for filtered, gradient in ways(layer):
        same(filtered, expected)
        same(gradient, UPSTREAM)
    half = build(*parameters, implementation=implementation, dtype="mixed_float16")
    single = getattr(kernels, name)(
        IMAGES.astype("float16").astype("float32"), *parameters
    )
    same(half(IMAGES), single.astype("float16"))


def check_every_level():
    images = np.arange(256, dtype="float32").reshape(1, 16, 16, 1) / np.float32(255)
    for bits in range(1, 9):
        for filtered, _ in ways(kmd.BitDepthReduction(bits), images, images):
            same(filtered, kernels.bit_depth(images, bits))


def check_exact_gradients(implementation):
    arguments = {"gradient": "exact", "implementation": implementation}
    for _, gradient in ways(kmd.BitDepthReduction(3, **arguments)):
        same(gradient, np.zeros_like(IMAGES))
    kept = IMAGES.reshape(-1).argsort().argsort().reshape(IMAGES.shape)
    for _, gradient in ways(kmd.MedianFilter(3, **arguments)):
        # No two values are equal: each upstream gradient has one place to go.
        places = kernels.median(kept.astype("float32"), 3).astype(int)
        expected = np.bincount(places.ravel(), UPSTREAM.ravel(), IMAGES.size)[kept]
        np.testing.assert_allclose(ops.convert_to_numpy(gradient), expected, rtol=1e-5)


def check_fit(implementation):
    before = keras.layers.Conv2D(3, 3, activation="sigmoid")
    layers = [
        build(*parameters, implementation=implementation)
        for build, parameters in FILTERS.values()
    ]
    after = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((9, 11, 3)), before, *layers, *after])
    jit_compile = keras.backend.backend() == "jax"
    model.compile("sgd", "mse", jit_compile=jit_compile)
    weights = before.get_weights()[0]
    model.fit(IMAGES, np.ones((2, 2)), verbose=0)
    assert (before.get_weights()[0] != weights).any()


def check_torch_operator():
    import torch

    from keras_maskdef.backend.native import _torch_operator

    arguments = (torch.tensor(IMAGES), "median", [3.0])
    torch.library.opcheck(_torch_operator(), arguments)


if keras.backend.backend() == "torch":
    check_torch_operator()
check_every_level()
for implementation in ("ops", "native"):
    for name in FILTERS:
        check_filter(name, implementation)
    check_exact_gradients(implementation)
    check_fit(implementation)
# Elsewhere than on TensorFlow the backend's operations are what "auto" takes.
same(kmd.MedianFilter(3)(IMAGES), kernels.median(IMAGES, 3))
