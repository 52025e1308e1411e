"""A training on two host devices under JAX; run by its own test.

`keras.distribution.DataParallel` against the same training on one device. To be run
with XLA_FLAGS=--xla_force_host_platform_device_count=2. With `all` as its argument it
takes in filters, a mask in the training and validation, too.
"""

import sys

import keras
import numpy as np
from keras import ops

import keras_maskdef as kmd

X = np.random.default_rng(0).random((24, 12, 12, 1)).astype("float32")
Y = np.arange(24) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
INPUT = (12, 12, 1)
ALL = sys.argv[1:] == ["all"]


def masks_of_a_batch():
    mask = kmd.RandomGridMask(2, 0.5, seed=7)
    model = keras.Sequential([keras.Input(INPUT), mask])
    return model.predict(np.ones((8, *INPUT)), batch_size=8, verbose=0)


def training():
    """A vote, trained in turn with a masker; 21 images do not divide evenly."""
    keras.utils.set_random_seed(1)
    classifier = keras.Sequential(
        [
            keras.Input(INPUT),
            keras.layers.Conv2D(3, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    vote = kmd.VotingEnsemble(classifier, kmd.RandomGridMask(2, 0.5, seed=8))
    vote.compile(keras.optimizers.SGD(0.1), LOSS)
    layers = [
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    ]
    masker = kmd.SparseFeatureMasker(keras.Sequential([keras.Input(INPUT), *layers]))
    more = {
        "train_on": "masked",
        "preprocessing": kmd.MedianFilter(2),
        "validation_data": (X, Y),
    }
    callback = kmd.AlternatingTraining(
        masker, X[:21], batch_size=8, steps_per_epoch=2, **(more if ALL else {})
    )
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    history = vote.fit(X, Y, epochs=2, callbacks=[callback], **options).history
    weights = [ops.convert_to_numpy(w) for w in [*vote.weights, *masker.weights]]
    if ALL:
        history["outputs"] = vote.predict(X, batch_size=8, verbose=0)
    return history, weights, classifier


def check():
    masks = masks_of_a_batch()
    figures, weights, _ = training()
    devices = keras.distribution.list_devices()
    assert len(devices) == 2, devices
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices)
    )
    shared = masks_of_a_batch()
    np.testing.assert_array_equal(masks, shared)
    assert (shared[:4] != shared[4:]).any(axis=(1, 2, 3)).all()
    together, mirrored, classifier = training()
    assert len(classifier.layers[0].kernel.value.sharding.device_set) == 2
    for a, b in zip(weights, mirrored, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    for name, values in figures.items():
        np.testing.assert_allclose(values, together[name], rtol=1e-3, atol=1e-5)


check()
