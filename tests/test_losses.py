"""The losses of SFM-Defense: values by hand, gradients, and what is optimal."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_maskdef import losses

RANDOM = np.random.default_rng(0)
# Away from zero, where the L1 norm has a kink.
IMAGES = RANDOM.uniform(0.2, 1, (3, 4, 5, 2)).astype("float32")
MASKED = IMAGES * RANDOM.uniform(0.3, 1, (3, 4, 5, 1)).astype("float32")
LOGITS = RANDOM.normal(size=(3, 7)).astype("float32")
OTHERS = RANDOM.normal(size=(3, 7)).astype("float32")

FUNCTIONS = {
    "sparsity": (losses.sparsity, (MASKED,)),
    "semantic": (losses.semantic, (LOGITS, OTHERS)),
    "reconstruction": (losses.reconstruction, (IMAGES, MASKED)),
}
EVERY_LOSS = pytest.mark.parametrize("name", FUNCTIONS)


def per_image(name, *arrays):
    """Equations 3, 4 and 5 with NumPy's norms."""
    norm = np.linalg.norm
    flat = [array.reshape(len(array), -1).astype("float64") for array in arrays]
    if name == "sparsity":
        return norm(flat[0], 1, axis=1)
    if name == "reconstruction":
        return norm(flat[0] - flat[1], axis=1)
    dots = (flat[0] * flat[1]).sum(1)
    return 1 - dots / norm(flat[0], axis=1) / norm(flat[1], axis=1)


@EVERY_LOSS
def test_values(name):
    function, arrays = FUNCTIONS[name]
    values = per_image(name, *arrays)
    whole = np.sqrt((values**2).sum()) if name == "reconstruction" else values.sum()
    np.testing.assert_allclose(function(*arrays), values.mean(), rtol=1e-5)
    np.testing.assert_allclose(function(*arrays, norms="batch"), whole, rtol=1e-5)


@EVERY_LOSS
@pytest.mark.parametrize("norms", losses.NORMS)
def test_gradients_against_finite_differences(name, norms):
    function, arrays = FUNCTIONS[name]
    *fixed, moving = arrays
    _, (computed,) = tf_gradients(lambda x: function(*fixed, x, norms=norms), moving)
    rng = np.random.default_rng(1)
    for _ in range(5):
        direction = rng.normal(size=moving.shape).astype("float32")
        step = 1e-2
        ends = [
            float(function(*fixed, moving + sign * step * direction, norms=norms))
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose((computed * direction).sum(), slope, rtol=2e-2)


def tf_gradients(function, *arrays):
    tensors = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return float(value), [g.numpy() for g in tape.gradient(value, tensors)]


@pytest.mark.parametrize("norms", losses.NORMS)
def test_a_mask_of_ones_has_a_gradient_of_zero(norms):
    value, (gradient,) = tf_gradients(
        lambda x: losses.reconstruction(IMAGES, x, norms), IMAGES
    )
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(IMAGES))


@pytest.mark.parametrize("first", [np.zeros_like(LOGITS), LOGITS])
def test_a_zero_vector_is_at_a_right_angle(first):
    value, gradients = tf_gradients(losses.semantic, first, np.zeros_like(LOGITS))
    assert value == 1.0
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_the_length_of_logits_does_not_count():
    np.testing.assert_allclose(
        losses.semantic(LOGITS, OTHERS), losses.semantic(50 * LOGITS, 0.1 * OTHERS)
    )
    np.testing.assert_allclose(losses.semantic(LOGITS, 3 * LOGITS), 0.0, atol=1e-6)
    np.testing.assert_allclose(losses.semantic(LOGITS, -LOGITS), 2.0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_single(dtype):
    big = tf.cast(tf.fill((2, 64, 64, 3), 20.0), dtype)
    assert float(losses.sparsity(big)) == 20.0 * 64 * 64 * 3


@EVERY_LOSS
def test_unknown_norms(name):
    function, arrays = FUNCTIONS[name]
    with pytest.raises(ValueError, match=r"`norms` must be .*Received: norms='pixel'"):
        function(*arrays, norms="pixel")


def best_density(rho):
    """The mean of the best mask for one image, with no network in between."""
    image = tf.constant(np.random.default_rng(0).random((1, 8, 8, 3), "float32"))
    w1 = 2.5e-3
    w3 = w1 * np.sqrt(8 * 8 * 3) / rho
    scores = keras.Variable(np.full((1, 8, 8, 1), 2.0, "float32"))
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(300):
        with tf.GradientTape() as tape:
            masked = image * tf.sigmoid(scores.value)
            loss = w1 * losses.sparsity(masked)
            loss += w3 * losses.reconstruction(image, masked)
        optimizer.apply([tape.gradient(loss, scores.value)], [scores])
    return float(tf.reduce_mean(tf.sigmoid(scores.value)))


def test_below_rho_1_the_mask_of_ones_is_the_best():
    assert best_density(0.14) > 0.98  # the paper's weights, per image
    assert best_density(1.6) < 0.3
