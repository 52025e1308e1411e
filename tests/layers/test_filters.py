"""The filter layers: pixels, gradients, layouts, dtypes and bad input.

How they reach the kernels is tested in test_native.py.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from keras_maskdef.kernels import _nl_means_reference, reference
from layer_check import check_layer

from keras_maskdef import BitDepthReduction, MedianFilter, NonLocalMeans

IMPLEMENTATIONS = ("ops", "native", "auto")
# The layer, and the same function in plain NumPy.
FILTERS = {
    "bit_depth": (BitDepthReduction, (3,), reference.bit_depth),
    "median": (MedianFilter, (3,), reference.median),
    "even_median": (MedianFilter, (4,), reference.median),
    "nl_means": (NonLocalMeans, (4, 3, 5), _nl_means_reference.nl_means),
}
EVERY_FILTER = pytest.mark.parametrize("name", FILTERS)
EVERY_IMPLEMENTATION = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def build(name, **arguments):
    layer, parameters, _ = FILTERS[name]
    return layer(*parameters, **arguments)


def expected(name, images):
    _, parameters, function = FILTERS[name]
    return function(images, *parameters)


def random_images(shape=(3, 9, 11, 3), levels=0, seed=0):
    """Random floats, of a few levels where equal values are to be likely."""
    images = np.random.default_rng(seed).random(shape)
    if levels:
        images = np.rint(images * levels) / levels
    return images.astype("float32")


def check_pixels(result, images):
    assert tuple(result.shape) == images.shape
    np.testing.assert_array_equal(ops.convert_to_numpy(result), images)


@EVERY_IMPLEMENTATION
@pytest.mark.parametrize(
    "layer, parameters, only_defaults",
    [
        (BitDepthReduction, {"bits": 3, "gradient": "straight_through"}, ["gradient"]),
        (MedianFilter, {"size": 3, "gradient": "exact"}, []),
        (
            NonLocalMeans,
            {
                "strength": 4.5,
                "patch_size": 1,
                "search_size": 5,
                "gradient": "straight_through",
            },
            ["gradient"],
        ),
    ],
)
def test_layer_check(layer, parameters, only_defaults, implementation):
    arguments = {
        **parameters,
        "implementation": implementation,
        "data_format": "channels_last",
    }
    if layer is not MedianFilter:
        arguments["value_range"] = (0, 255)
    if implementation == "auto":
        only_defaults = [*only_defaults, "implementation"]
    check_layer(layer, arguments, (7, 8, 3), only_defaults=only_defaults)


def test_config_keeps_the_gradient():
    layer = BitDepthReduction(3, gradient="exact")
    assert BitDepthReduction.from_config(layer.get_config()).gradient == "exact"


@given(
    shape=st.tuples(
        *[st.integers(a, b) for a, b in ((0, 3), (7, 14), (7, 14), (1, 9))]
    ),
    size=st.integers(2, 7),
    levels=st.sampled_from([0, 3, 255]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_median_is_the_reference(shape, size, levels, seed):
    images = random_images(shape, levels, seed) * 3 - 1
    for implementation in IMPLEMENTATIONS:
        if implementation == "native" and shape[-1] > 8:
            continue
        layer = MedianFilter(size, implementation=implementation)
        check_pixels(layer(images), reference.median(images, size))


@given(
    shape=st.tuples(*[st.integers(a, b) for a, b in ((0, 3), (1, 9), (1, 9), (1, 12))]),
    bits=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_bit_depth_is_the_reference(shape, bits, seed):
    images = random_images(shape, 0, seed) * 3 - 1
    for implementation in IMPLEMENTATIONS:
        layer = BitDepthReduction(bits, implementation=implementation)
        check_pixels(layer(images), reference.bit_depth(images, bits))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_in_a_graph_gives_every_level(bits, jit_compile):
    """Division by a constant, as compilers rewrite it, misses some of them."""
    images = np.arange(256, dtype="float32").reshape(1, 16, 16, 1) / np.float32(255)
    function = tf.function(BitDepthReduction(bits), jit_compile=jit_compile)
    check_pixels(function(tf.constant(images)), reference.bit_depth(images, bits))


@pytest.mark.long
@given(
    shape=st.tuples(
        st.integers(0, 2), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])
    ),
    strength=st.sampled_from([0.5, 4, 30]),
    patch_size=st.sampled_from([1, 3]),
    search_size=st.sampled_from([1, 5]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_nl_means_is_the_reference(shape, strength, patch_size, search_size, seed):
    images = 0.4 + random_images(shape, 0, seed) / 10
    window = (strength, patch_size, search_size)
    for implementation in IMPLEMENTATIONS:
        layer = NonLocalMeans(*window, implementation=implementation)
        check_pixels(layer(images), _nl_means_reference.nl_means(images, *window))


@EVERY_FILTER
@EVERY_IMPLEMENTATION
def test_layouts(name, implementation):
    images = random_images()
    result = expected(name, images)
    layer = build(name, implementation=implementation)
    check_pixels(layer(images[0]), result[0])
    first = build(name, implementation=implementation, data_format="channels_first")
    images, result = np.moveaxis(images, -1, 1), np.moveaxis(result, -1, 1)
    check_pixels(first(images), result)
    check_pixels(first(images[0]), result[0])


@EVERY_FILTER
@EVERY_IMPLEMENTATION
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtypes_compute_in_single_precision(name, implementation, dtype):
    layer = build(name, implementation=implementation, dtype=dtype)
    images = tf.cast(random_images(), layer.compute_dtype)
    single = expected(name, tf.cast(images, "float32").numpy())
    result = layer(images)
    assert result.dtype == images.dtype
    check_pixels(result, tf.cast(single, layer.compute_dtype).numpy())


@pytest.mark.long
@EVERY_FILTER
@EVERY_IMPLEMENTATION
def test_images_of_any_size_in_one_model(name, implementation):
    inputs = keras.Input((None, None, 3))
    layer = build(name, implementation=implementation)
    model = keras.Model(inputs, layer(inputs))
    assert model.output.shape == (None, None, None, 3)
    specification = tf.TensorSpec([None, None, None, 3])
    function = tf.function(model, input_signature=[specification])
    for shape in [(2, 9, 11, 3), (5, 8, 7, 3)]:
        images = random_images(shape)
        check_pixels(function(images), expected(name, images))
        prediction = model.predict(images, batch_size=2, verbose=0)
        check_pixels(prediction, expected(name, images))
    traced = function.get_concrete_function().output_shapes
    assert traced.as_list() == [None, None, None, 3]


def gradient_of(layer, images, upstream):
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        filtered = layer(images)
    return tape.gradient(filtered, images, upstream)


@EVERY_FILTER
@EVERY_IMPLEMENTATION
@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
def test_straight_through_gradient_is_the_upstream_one(name, implementation, how):
    if implementation == "native" and how == "XLA":
        return
    layer = build(name, implementation=implementation)
    images, upstream = random_images(), random_images(seed=1)
    function = gradient_of
    if how != "eager":
        function = tf.function(gradient_of, jit_compile=how == "XLA")
    check_pixels(function(layer, images, tf.constant(upstream)), upstream)


@EVERY_IMPLEMENTATION
def test_exact_gradient_of_bit_depth_is_zero(implementation):
    layer = BitDepthReduction(3, gradient="exact", implementation=implementation)
    images = random_images()
    check_pixels(gradient_of(layer, images, images), np.zeros_like(images))


def route(images, upstream, size):
    """To the first pixel in reading order that equals the median, one at a time."""
    padding = ((size // 2, (size - 1) // 2),) * 2
    place = np.arange(images[0, ..., 0].size).reshape(images.shape[1:3])
    places = np.pad(place, padding, mode="symmetric")
    medians = reference.median(images, size)
    gradient = np.zeros_like(images)
    for b, y, x, c in np.ndindex(images.shape):
        window = places[y : y + size, x : x + size].ravel()
        values = images[b, ..., c].ravel()[window]
        first = window[np.flatnonzero(values == medians[b, y, x, c])[0]]
        gradient[b, ..., c].flat[first] += upstream[b, y, x, c]
    return gradient


@pytest.mark.long
@EVERY_IMPLEMENTATION
@pytest.mark.parametrize("size", range(2, 8))
@pytest.mark.parametrize("levels", [0, 3])
def test_exact_gradient_of_the_median_goes_to_the_first_equal(
    size, levels, implementation
):
    """Upstream gradients are small integers, so that sums are exact."""
    images = random_images((2, 8, 9, 2), levels)
    upstream = np.rint(9 * random_images(images.shape, seed=1))
    layer = MedianFilter(size, gradient="exact", implementation=implementation)
    gradient = gradient_of(layer, images, tf.constant(upstream))
    check_pixels(gradient, route(images, upstream, size))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_exact_gradient_of_the_median_by_finite_differences(size):
    """All values are at least 1 / 60 apart: steps of 1 / 200 change no order."""
    random, step = np.random.default_rng(0), 1 / 200
    images = random.permutation(60).reshape(1, 6, 5, 2) / 60
    upstream = random.random(images.shape)
    differences = np.empty_like(images)
    for place in np.ndindex(images.shape):
        moved = np.array([images, images])
        moved[0][place] += step
        moved[1][place] -= step
        up, down = (reference.median(x, size) for x in moved)
        differences[place] = np.sum(upstream * (up - down)) / (2 * step)
    layer = MedianFilter(size, gradient="exact", dtype="float64")
    gradient = gradient_of(layer, images, tf.constant(upstream))
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-5)


@pytest.mark.long
@EVERY_IMPLEMENTATION
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", FILTERS)
def test_a_step_of_fit_trains_layers_before_and_after(
    name, implementation, jit_compile
):
    if jit_compile and implementation == "native":
        return
    keras.utils.set_random_seed(0)
    before = keras.layers.Conv2D(3, 3, activation="sigmoid")
    after = keras.layers.Dense(2)
    layer = build(name, implementation=implementation)
    model = keras.Sequential(
        [keras.Input((10, 9, 3)), before, layer, keras.layers.Flatten(), after]
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    weights = [part.get_weights()[0] for part in (before, after)]
    model.fit(random_images((4, 10, 9, 3)), np.ones((4, 2)), verbose=0)
    for part, weight in zip((before, after), weights, strict=True):
        assert (part.get_weights()[0] != weight).any()


@pytest.mark.long
@EVERY_IMPLEMENTATION
@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_median_puts_not_a_number_last(size, implementation, jit_compile):
    if jit_compile and implementation == "native":
        return
    images = random_images((3, 9, 9, 2))
    kind = np.random.default_rng(1).integers(0, 5, images.shape)
    images[kind == 0], images[kind == 1], images[kind == 2] = np.nan, np.inf, -np.inf
    layer = MedianFilter(size, implementation=implementation)
    function = tf.function(layer, jit_compile=jit_compile)
    check_pixels(function(tf.constant(images)), reference.median(images, size))


@EVERY_IMPLEMENTATION
def test_bit_depth_keeps_not_a_number(implementation):
    images = random_images()
    images[0, 0, :3, 0] = np.nan, np.inf, -np.inf
    layer = BitDepthReduction(3, implementation=implementation)
    check_pixels(layer(images), reference.bit_depth(images, 3))


@pytest.mark.parametrize(
    "layer, arguments, message",
    [
        (BitDepthReduction, {"bits": 0}, "`bits` must be an integer from 1 to 8"),
        (BitDepthReduction, {"bits": 9}, "Received: bits=9"),
        (BitDepthReduction, {"bits": 2.5}, "Received: bits=2.5"),
        (BitDepthReduction, {"bits": True}, "Received: bits=True"),
        (MedianFilter, {"size": 0}, "`size` must be an integer from 2 to 7"),
        (MedianFilter, {"size": 8}, "Received: size=8"),
        (MedianFilter, {"size": 3, "gradient": "none"}, "`gradient` must be one of"),
        (MedianFilter, {"size": 3, "implementation": "gpu"}, "`implementation` must"),
        (MedianFilter, {"size": 3, "data_format": "NHWC"}, "`data_format` must be"),
        (NonLocalMeans, {"strength": 0}, "`strength` must be a finite number above 0"),
        (NonLocalMeans, {"strength": float("nan")}, "Received: strength=nan"),
        (NonLocalMeans, {"strength": "4"}, "Received: strength='4'"),
        (NonLocalMeans, {"strength": 4, "patch_size": 4}, "`patch_size` must be odd"),
        (NonLocalMeans, {"strength": 4, "patch_size": 0}, "from 1 to 127"),
        (
            NonLocalMeans,
            {"strength": 4, "search_size": 12},
            "`search_size` must be odd",
        ),
        (NonLocalMeans, {"strength": 4, "gradient": "exact"}, "no exact gradient"),
    ],
)
def test_bad_arguments(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


def bad_images():
    wrong_rank = (ValueError, "four axes .* or three")
    yield "median", (5, 5), "float32", wrong_rank
    yield "bit_depth", (1, 1, 5, 5, 1), "float32", wrong_rank
    for name in FILTERS:
        yield name, (1, 5, 5, 1), "uint8", (TypeError, "must be floating point")
    yield "median", (1, 2, 5, 1), "float32", (ValueError, "`size` must be at most")
    yield "even_median", (1, 9, 3, 1), "float32", (ValueError, "Received: size=4")
    yield "nl_means", (1, 5, 5, 2), "float32", (ValueError, "one or three channels")


@pytest.mark.parametrize("name, shape, dtype, error", list(bad_images()))
@pytest.mark.parametrize("symbolic", [False, True])
def test_bad_images(name, shape, dtype, error, symbolic):
    images = np.zeros(shape, dtype)
    if symbolic:
        images = keras.KerasTensor(shape, dtype=dtype)
    with pytest.raises(error[0], match=error[1]):
        build(name)(images)


@pytest.mark.parametrize("symbolic", [False, True])
def test_the_kernel_takes_up_to_eight_channels(symbolic):
    images = np.zeros((1, 5, 5, 9), "float32")
    if symbolic:
        images = keras.KerasTensor(images.shape)
    with pytest.raises(ValueError, match="channels"):
        MedianFilter(3, implementation="native")(images)
    assert MedianFilter(3)(images).shape == (1, 5, 5, 9)


def test_an_unknown_number_of_channels():
    with pytest.raises(ValueError, match="known number of channels"):
        MedianFilter(3)(keras.KerasTensor((None, 5, 5, None)))
