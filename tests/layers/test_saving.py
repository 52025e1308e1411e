"""`.keras` files, loaded by another process in safe mode."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_maskdef as kmd

pytestmark = pytest.mark.long

LOADER = """
import json, sys
import keras, numpy as np
import keras_maskdef

folder = sys.argv[1]
images = np.load(folder + "/images.npy")
results = {}
for name in json.loads(sys.argv[2]):
    loads = [
        keras.saving.load_model(f"{folder}/{name}.keras", safe_mode=True)
        for _ in range(2)
    ]
    results[name] = [model.predict(images, verbose=0).tolist() for model in loads]
print(json.dumps(results))
"""


def models():
    keras.utils.set_random_seed(3)

    def classifier():
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(3, 3),
                keras.layers.BatchNormalization(),
                keras.layers.Flatten(),
                keras.layers.Dense(4),
            ]
        )

    def mask(seed, **arguments):
        return kmd.RandomGridMask(2, 0.5, seed=seed, **arguments)

    inputs = keras.Input((8, 8, 1))
    return {
        "mask_seeded": keras.Sequential([inputs, mask(5, fill_value=[0.3])]),
        "mask_unseeded": keras.Sequential([inputs, mask(None)]),
        "vote_seeded": kmd.VotingEnsemble(
            classifier(),
            mask(6, sampling="partition"),
            votes=4,
            pooling="geometric",
            train_mask=mask(None),
        ),
        "vote_unseeded": kmd.VotingEnsemble(classifier(), mask(None)),
        "vote_in_a_model": keras.Model(
            inputs, kmd.VotingEnsemble(classifier(), mask(7))(inputs)
        ),
        "filters": keras.Sequential(
            [
                inputs,
                kmd.BitDepthReduction(5, gradient="exact", implementation="native"),
                kmd.MedianFilter(2, gradient="exact"),
                kmd.NonLocalMeans(4, 1, 5, implementation="ops"),
            ]
        ),
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Predictions of each model here, before saving, and of two loads elsewhere."""
    folder = tmp_path_factory.mktemp("models")
    images = np.random.default_rng(0).random((20, 8, 8, 1)).astype("float32")
    np.save(folder / "images.npy", images)
    here = {}
    for name, model in models().items():
        if not model.built:
            model.build((None, 8, 8, 1))
        model.save(folder / f"{name}.keras")
        here[name] = model.predict(images, verbose=0)
    loader = Path(folder / "loader.py")
    loader.write_text(LOADER)
    finished = subprocess.run(
        [sys.executable, str(loader), str(folder), json.dumps(list(here))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    there = json.loads(finished.stdout.splitlines()[-1])
    return {name: (here[name], *map(np.array, there[name])) for name in here}


@pytest.mark.parametrize("name", ["mask_seeded", "vote_seeded", "vote_in_a_model"])
def test_with_a_seed_every_load_draws_the_same_masks(saved, name):
    here, first, second = saved[name]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(here, first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mask_unseeded", "vote_unseeded"])
def test_without_a_seed_every_load_draws_other_masks(saved, name):
    here, first, second = saved[name]
    assert (first != second).any()
    assert (here != first).any()


def test_filters_give_the_same_pixels_after_a_load(saved):
    here, first, second = saved["filters"]
    np.testing.assert_array_equal(first, here)
    np.testing.assert_array_equal(second, here)
