"""The `keras.ops` path of non-local means gives the kernel's pixels, bit for bit."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_maskdef import kernels
from keras_maskdef.layers._nl_means_ops import nl_means

WINDOW = (4, 3, 7)

pytestmark = [
    pytest.mark.long,
    # Keras 3.15 turns PyTorch tensors into arrays in a way NumPy 2 calls deprecated.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def smooth(shape, seed=0):
    """Smooth float images with noise, some of it outside of [0, 1]."""
    rng = np.random.default_rng(seed)
    base = rng.random((shape[0], 1, 1, shape[3]))
    return (base + rng.normal(0, 0.03, shape)).astype(np.float32)


def check(function, images, *window):
    result = keras.ops.convert_to_numpy(function(images))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, kernels.nl_means(images, *window))


@given(
    shape=st.tuples(
        st.integers(1, 2),
        st.integers(1, 20),
        st.integers(1, 20),
        st.sampled_from([1, 3]),
    ),
    strength=st.sampled_from([0.5, 4, 30, 1000]),
    patch_size=st.sampled_from([1, 3, 5]),
    search_size=st.sampled_from([1, 3, 7]),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_eager(shape, strength, patch_size, search_size, seed):
    window = (strength, patch_size, search_size)
    check(lambda x: nl_means(x, *window), smooth(shape, seed), *window)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_sums_near_the_end_of_32_bits(value):
    images = np.full((1, 8, 8, 3), value, np.float32)
    check(lambda x: nl_means(x, 1000, 3, 13), images, 1000, 3, 13)


def test_not_a_number_and_infinity():
    images = smooth((1, 9, 9, 1))
    images[0, 2, 2], images[0, 4, 4], images[0, 6, 6] = np.nan, np.inf, -np.inf
    check(lambda x: nl_means(x, *WINDOW), images, *WINDOW)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the backend is not TensorFlow"
)
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(None, 12, 10), (None, None, None)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tensorflow_graph(jit_compile, shape, channels):
    import tensorflow as tf

    function = tf.function(
        lambda x: nl_means(x, *WINDOW),
        input_signature=[tf.TensorSpec([*shape, channels], "float32")],
        jit_compile=jit_compile,
    )
    for batch in (1, 3):
        check(function, smooth((batch, 12, 10, channels)), *WINDOW)
    result = function.get_concrete_function().output_shapes
    assert result.as_list() == [*shape, channels]


def test_jax_compiled():
    if keras.backend.backend() != "jax":
        pytest.skip("the backend is not JAX")
    import jax

    for channels in (1, 3):
        images = smooth((2, 12, 10, channels))
        check(jax.jit(lambda x: nl_means(x, *WINDOW)), images, *WINDOW)


def test_within_a_model():
    inputs = keras.Input((12, 10, 3))
    layer = keras.layers.Lambda(
        lambda x: nl_means(x, *WINDOW), output_shape=(12, 10, 3)
    )
    model = keras.Model(inputs, layer(inputs))
    images = smooth((5, 12, 10, 3))
    check(lambda x: model.predict(x, batch_size=2, verbose=0), images, *WINDOW)
