"""The attacks that are not a library's: diverse inputs, and noise as the control."""

import numpy as np
import pytest
import tensorflow as tf

from keras_maskdef import datasets
from keras_maskdef.attacks import craft
from keras_maskdef.attacks.diverse import varied


@pytest.fixture(scope="module")
def digits():
    images, labels, _ = datasets.sample("test[:12]")
    return images, labels


def test_without_diversity_it_is_cleverhans_momentum(classifier, digits):
    diverse = craft("diverse", classifier, *digits, 0.1, probability=0.0)
    np.testing.assert_allclose(
        diverse, craft("mim", classifier, *digits, 0.1), atol=1e-6
    )
    assert (craft("diverse", classifier, *digits, 0.1) != diverse).any()


@pytest.mark.parametrize("shape", [(28, 28), (30, 45)])
def test_varied_images_are_smaller_and_padded_with_zeros(shape):
    vary = varied(tf.random.Generator.from_seed(0), 1.0)
    height, width = shape
    sides, corners = set(), set()
    for _ in range(60):
        rows, columns = np.nonzero(vary(tf.ones((1, *shape, 1)))[0, ..., 0].numpy())
        tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == tall * wide
        assert 0.9 * height <= tall < height
        assert abs(wide - tall * width / height) <= 1
        sides.add(tall)
        corners.add((rows.min(), columns.min()))
    assert len(sides) == height - 1 - int(np.ceil(0.9 * height)) + 1
    assert len(corners) > 5


def test_tiny_images_lose_a_pixel():
    vary = varied(tf.random.Generator.from_seed(0), 1.0)
    for _ in range(5):
        assert tf.reduce_sum(vary(tf.ones((1, 8, 8, 1)))) == 49


def test_varied_at_its_probability():
    vary = varied(tf.random.Generator.from_seed(0), 0.5)
    images = tf.random.uniform((1, 20, 20, 1))
    changed = sum(bool(tf.reduce_any(vary(images) != images)) for _ in range(400))
    assert 160 < changed < 240


@pytest.mark.parametrize(("norm", "order"), [("l1", 1), ("l2", 2), ("linf", np.inf)])
def test_noise_has_exactly_its_size(norm, order):
    images = np.full((50, 20, 20, 1), 0.5, "float32")
    noisy = craft(
        "noise", lambda x: 9 * x[:, 0, :10, 0], images, np.zeros(50, int), 0.3, norm
    )
    change = (noisy - images).astype("float64").reshape(50, -1)
    sizes = np.linalg.norm(change, order, axis=1)
    np.testing.assert_allclose(sizes, 0.3, rtol=1e-4)
    assert abs(change.mean()) < 3 * change.std() / np.sqrt(change.size)
    assert len(np.unique(noisy.reshape(50, -1), axis=0)) == 50
