"""A defended classifier that trains in a second, for tests of evaluations."""

import keras
import numpy as np

import keras_maskdef as kmd

CLASSES, SIDE = 3, 8


def data(count=40, seed=0):
    """Images with a bright stripe in one of three places, and the place."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    images = rng.normal(0.3, 0.2, (count, SIDE, SIDE, 1))
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 0.15
    return np.clip(images, 0, 1).astype("float32"), labels


def classifier():
    """Linear, trained under masks; the same weights in every process."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )
    weights = np.zeros((SIDE, SIDE, CLASSES))
    for label in range(CLASSES):
        weights[2 * label : 2 * label + 2, :, label] = 1.0
    noise = np.random.default_rng(1).normal(0, 0.3, weights.shape)
    model.set_weights([(weights + noise).reshape(-1, CLASSES), np.zeros(CLASSES)])
    return model


def vote(model=None, **options):
    """Three views of half the cells, two pixels each."""
    mask = kmd.RandomGridMask(2, 0.5)
    return kmd.VotingEnsemble(model or classifier(), mask, **{"votes": 3, **options})
