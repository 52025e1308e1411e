"""Votes and attacks of so many views that they must be divided, or refused."""

import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import toy
from paths import SUPPORT
from peak_memory import peak

import keras_maskdef as kmd
from keras_maskdef.baselines import GaussianVote
from keras_maskdef.core import view_passes
from keras_maskdef.evaluation import AttackSetting, speed

IMAGES, LABELS = toy.data(6)
MANY = 10_000_000
FGSM = AttackSetting("fgsm", "linf", 0.1)


def vote(**options):
    return kmd.VotingEnsemble(
        toy.classifier(), kmd.RandomGridMask(2, seed=5), **options
    )


def noisy(**options):
    return GaussianVote(toy.classifier(), 0.1, seed=5, **options)


def forged(model, path):
    """A file of the model, whose vote asks for more views than memory holds."""
    model(IMAGES)
    honest = path.with_name("honest.keras")
    model.save(honest)
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["votes"] = MANY
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


@pytest.mark.parametrize("make", [vote, noisy])
def test_a_forged_file_is_refused(make, tmp_path):
    path = forged(make(votes=3), tmp_path / "forged.keras")
    with pytest.raises(ValueError, match="`votes` must be .* 1 to 10000. Received"):
        keras.saving.load_model(path)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: vote(votes=MANY), "votes"),
        (lambda: noisy(votes=MANY), "votes"),
        (lambda: kmd.attacks.expectation_over_masks(vote(), MANY), "samples"),
        (lambda: evaluate(eot_samples=(1, MANY)), "eot_samples"),
        (lambda: evaluate(repeats=MANY), "repeats"),
    ],
)
def test_more_than_memory_holds(call, name):
    with pytest.raises(
        ValueError, match=f"`{name}` must be an integer from 1 to 10000"
    ):
        call()


def evaluate(**options):
    return kmd.evaluate(vote(), (IMAGES, LABELS), [FGSM], **options)


@pytest.mark.parametrize("pooling", ["majority", "mean", "geometric"])
def test_views_are_divided_into_passes(monkeypatch, pooling):
    whole = keras.ops.convert_to_numpy(vote(votes=10, pooling=pooling)(IMAGES))
    seen = []
    monkeypatch.setattr(view_passes, "_AT_ONCE", 4)
    divided = vote(votes=10, pooling=pooling)
    monkeypatch.setattr(
        divided.classifier,
        "call",
        lambda x, call=divided.classifier.call, **options: (
            seen.append(len(x)),
            call(x, **options),
        )[1],
    )
    found = keras.ops.convert_to_numpy(divided(IMAGES))
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)
    assert max(seen) <= 4 * len(IMAGES)


def test_usual_votes_are_one_pass():
    for views in (1, 5, 50, 128):
        assert view_passes.views_at_once(views, None) == views
    assert view_passes.views_at_once(10_000, None) == 128
    assert view_passes.views_at_once(10_000, 3000) == 3000


def test_many_votes_are_timed_at_some_numbers():
    assert speed._numbers_of_votes(5) == list(range(1, 11))
    many = speed._numbers_of_votes(10_000)
    assert many[0] == 1 and many[-1] == 10_000 and len(many) == 40


def test_a_batch_is_no_larger_than_the_images():
    """10**9 images of padding were 240 GiB."""
    found = kmd.predict(vote(), IMAGES, batch_size=10**9, seed=0)
    np.testing.assert_array_equal(found, kmd.predict(vote(), IMAGES, seed=0))


def test_memory_of_many_votes():
    done = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 400


def peak_of_many_votes():
    """MiB that 2,000 views of 16 images take above one; they were 2,032 in one pass."""
    layers = [keras.layers.Conv2D(32, 3, padding="same"), keras.layers.Flatten()]
    network = keras.Sequential(
        [keras.Input((16, 16, 1)), *layers, keras.layers.Dense(3)]
    )
    images = np.zeros((16, 16, 16, 1), "float32")
    before = None
    for votes in (1, 2000):
        defended = kmd.VotingEnsemble(network, kmd.RandomGridMask(4), votes=votes)
        defended(images)
        before = before or peak()
    return peak() - before


if __name__ == "__main__":
    print(peak_of_many_votes())
