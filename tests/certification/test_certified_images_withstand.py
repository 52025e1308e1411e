"""Attacks within the cells of a certificate, by gradients and at random, on digits.

Whoever finds one certified image that such an attack breaks has found a mistake in a
proof. That the same attack breaks images that are not certified shows that it could.
"""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_maskdef as kmd

CELL, SIDE = 7, 28
CELLS = (SIDE // CELL) ** 2
RANDOM, STARTS, STEPS = 5, 2, 6


def perceptron(train, epochs):
    """Small, since a test of thousands of tries asks it millions of times."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    return trained(model, train, epochs)


def trained(model, train, epochs):
    look = {"sampling": "fixed_count", "fill_value": 0.5}
    vote = kmd.VotingEnsemble(
        model,
        kmd.RandomGridMask(CELL, 0.75, **look),
        train_mask=kmd.RandomGridMask(CELL, (0.1, 0.85), **look),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    vote.compile("adam", loss)
    vote.fit(train.images, train.labels, batch_size=64, epochs=epochs, verbose=0)
    return vote


def pixels_of(cells):
    """Which pixels each set of cells has, `(sets, height, width, 1)`."""
    grid = cells.reshape(-1, SIDE // CELL, SIDE // CELL)
    return grid.repeat(CELL, 1).repeat(CELL, 2)[..., None]


class Attacker:
    """Changes the cells of one set each, in [0, 1], away from the predicted class."""

    def __init__(self, vote, method, seed=0):
        self.rng = np.random.default_rng(seed)
        self.vote, self.method = vote, method

    def __call__(self, image, label, cells, others):
        """Candidates for each set, `(tries, sets, height, width, 1)`."""
        where = pixels_of(cells)
        noise = self.rng.random((RANDOM, len(cells), SIDE, SIDE, 1))
        noise[:2] = noise[:2].round()
        pasted = self.rng.integers(len(others), size=(RANDOM, len(cells)))
        found = [
            np.where(where, content, image)
            for content in (*noise, *others[pasted], *np.ones((1, *noise.shape[1:])))
        ]
        for start in range(STARTS):
            found += self._ascent(found[start], label, where)
        return np.stack(found).astype("float32")

    def _ascent(self, start, label, where):
        images = tf.Variable(start.astype("float32"))
        labels = np.full(len(start), label)
        for step in range(STEPS):
            keep = self._masks(len(start))
            slope = self._slope(images, tf.constant(keep), labels).numpy()
            moved = images.numpy() + (0.5 if step % 2 else 1.0) * np.sign(slope) * where
            images.assign(np.clip(moved, 0.0, 1.0))
            yield images.numpy()

    def _masks(self, count):
        if self.method == "exact":
            return np.asarray(self.vote.mask.sample(np.empty((count, 28, 28, 1)), 32))
        hidden = self.rng.random((32, count, CELLS)).argsort(-1) < 2
        return ~hidden.reshape(32, count, SIDE // CELL, SIDE // CELL)

    @tf.function(reduce_retracing=True)
    def _slope(self, images, keep, labels):
        with tf.GradientTape() as tape:
            outputs = tf.nn.log_softmax(self.vote.view_outputs(images, keep))
            right = tf.gather(outputs, labels, axis=-1, batch_dims=0)
            loss = -tf.reduce_sum(tf.linalg.diag_part(right))
        return tape.gradient(loss, images)


def broken(vote, test, method, size, images):
    """How many tries changed the prediction, of certified images and of others."""
    options = {"method": method, "threats": ["cells"], "sizes": [size]}
    clean = kmd.certify(vote, test.images, **options)["cells", size]
    chosen = [*np.flatnonzero(clean.certified)[:images]]
    unproven = [*np.flatnonzero(~clean.certified & (clean.predicted == test.labels))]
    attacker = Attacker(vote, method)
    cells = kmd.certification.any_cells(CELLS, size)
    cells = cells[attacker.rng.permutation(len(cells))[:CELLS]]
    counts = {True: [], False: []}
    for number in [*chosen, *unproven[: max(3, images // 4)]]:
        label = clean.predicted[number]
        tries = attacker(test.images[number], label, cells, test.images)
        flat = tries.reshape(-1, *tries.shape[2:])
        found = kmd.certify(vote, flat, **options)["cells", size].predicted
        counts[bool(clean.certified[number])].append(found != label)
    return {proven: np.array(wins) for proven, wins in counts.items()}


@pytest.fixture(scope="module")
def digits():
    return perceptron(kmd.datasets.sample("train"), epochs=8)


@pytest.mark.parametrize(("method", "images"), [("exact", 2), ("double_masking", 20)])
def test_no_try_breaks_a_certified_digit(digits, method, images):
    wins = broken(digits, kmd.datasets.sample("test[:100]"), method, 1, images)
    assert len(wins[True]) == images and wins[True].size == images * CELLS * 23
    assert not wins[True].any()
    assert wins[False].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "size"), [("exact", 1), ("double_masking", 1), ("double_masking", 2)]
)
def test_no_try_breaks_a_certified_digit_of_mnist(method, size):
    folder = os.environ.get("TFDS_DATA_DIR", "")
    if not Path(folder, "mnist").is_dir():
        pytest.skip("no mnist in the folder that TFDS_DATA_DIR names")
    keras.utils.set_random_seed(0)
    train = kmd.datasets.mnist("train", data_dir=folder)
    vote = trained(kmd.architectures.lenet(), train, epochs=2)
    test = kmd.datasets.mnist("test[:200]", data_dir=folder)
    wins = broken(vote, test, method, size, images=20)
    assert wins[True].size == 20 * CELLS * 23  # 7,360 tries
    assert not wins[True].any()
    assert wins[False].any()
