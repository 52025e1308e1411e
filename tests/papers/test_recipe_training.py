"""Trainings that are killed, of recipes' networks, maskers and autoencoders.

Run as a script, this file is the process that is killed.
"""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from paths import SUPPORT

from keras_maskdef.core.batches import ShuffledBatches
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.layers import SparseFeatureMasker
from keras_maskdef.papers import alternating, training
from keras_maskdef.papers.alternating import MASKER_BACKUP, alternate
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.mask_setting import MaskSetting
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.reforming import train_autoencoder
from keras_maskdef.papers.training import BACKUP, LOG, fit, read_log, train

EPOCHS, STEPS, SIZE = 3, 3, 16
SHORT = {"epochs": EPOCHS, "batch_size": SIZE}
NETWORKS = {
    "cosine": Network("mnist", "lenet", schedule="cosine", **SHORT),
    "normalized": Network("mnist", "convnet", width=2, **SHORT),
    "masks": Network("mnist", "lenet", mask=MaskSetting(7), **SHORT),
    "noise": Network("mnist", "lenet", noise=0.1, **SHORT),
}
PLAIN = NETWORKS["cosine"]
ALTERNATION = Alternation(
    Network("mnist", "lenet", batch_size=SIZE),
    masker_widths=(2, 4),
    rho=1.3,
    epochs=EPOCHS,
)
# A masker of three widths and a few steps may hide all or nothing.
collapse = pytest.mark.filterwarnings(
    "ignore::keras_maskdef.callbacks.EmptyMaskWarning"
)


def data(count=STEPS * SIZE - 5):
    """Noise in which the brightest of ten stripes tells the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 10
    images = rng.uniform(0, 0.5, (count, 28, 28, 1)).astype("float32")
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 2 : 2 * label + 5] += 0.5
    return ImageData(images, labels, tuple("0123456789"))


def classifier():
    keras.utils.set_random_seed(5)
    return ALTERNATION.network.build((28, 28, 1), 10)


def trained(network, folder=None, **options):
    return train(network, data(), folder, **options)


def alternated(folder=None, start=training.silent, **change):
    alternation = Alternation(**{**vars(ALTERNATION), **change})
    return alternate(alternation, classifier(), data(), data(20), folder, start)


class Stop(BaseException):
    """What no training catches."""


def stop_at_step(number, stop):
    """A progress bar that ends everything after so many steps."""
    done = 0

    def advance(steps):
        nonlocal done
        done += steps
        if done >= number:
            stop()

    return lambda title, total: advance


def stop_at_epoch(number, stop):
    """Ends everything when that epoch, from zero, begins."""
    begin = training.InOrder.on_epoch_begin

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == number:
            stop()
        begin(self, epoch, logs)

    training.InOrder.on_epoch_begin = on_epoch_begin


def _stop():
    raise Stop


def stopped(run):
    """Runs until something stops it, as an error or Ctrl-C would."""
    try:
        run()
    except Stop:
        return True
    return False


@pytest.fixture(autouse=True)
def closed_logs(monkeypatch):
    """Keras closes its log at the end of a training that has one."""
    begin, logs = keras.callbacks.CSVLogger.on_train_begin, []

    def on_train_begin(self, *arguments):
        begin(self, *arguments)
        logs.append(self)

    monkeypatch.setattr(keras.callbacks.CSVLogger, "on_train_begin", on_train_begin)
    yield
    for log in logs:
        if log.csv_file:
            log.csv_file.close()


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def killed(what, folder, moment, number):
    """Trains in a process of its own that ends in the midst of it."""
    arguments = [__file__, what, str(folder), moment, str(number)]
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def _child(what, folder, moment, number):
    start = training.silent
    if moment == "step":
        start = stop_at_step(int(number), _kill)
    else:
        stop_at_epoch(int(number), _kill)
    if what == "alternation":
        alternated(Path(folder), start)
    else:
        trained(NETWORKS[what], Path(folder), start=start)


def assert_same(one, other):
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)


def moved(one, other):
    return max(
        np.abs(first - second).max()
        for first, second in zip(one.get_weights(), other.get_weights(), strict=True)
    )


def figures(history):
    return {name: values for name, values in history.items() if name != "seconds"}


def assert_same_figures(one, other):
    for name, values in figures(other).items():
        np.testing.assert_allclose(one[name], values, rtol=1e-4, atol=1e-6)


def epochs_in(path):
    with open(path, newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


# --- Classifiers.


@pytest.fixture(scope="module")
def whole():
    """Trained without a stop, and without a folder."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = trained(NETWORKS[name])
        return made[name]

    return of


@pytest.mark.parametrize(
    ("name", "moment", "number", "done"),
    [
        pytest.param("normalized", "epoch", 2, 2, marks=pytest.mark.slow),
        ("cosine", "step", STEPS + 2, 1),
    ],
)
def test_killed_training_goes_on(name, moment, number, done, whole, tmp_path):
    killed(name, tmp_path, moment, number)
    assert (tmp_path / BACKUP).exists()
    bars, steps = [], []

    def start(*bar):
        bars.append(bar)
        return steps.append

    made = trained(NETWORKS[name], tmp_path, start=start)
    assert_same(made.model, whole(name).model)
    assert_same_figures(made.history, whole(name).history)
    assert len(made.history["seconds"]) == EPOCHS
    assert min(made.history["seconds"]) > 0
    assert epochs_in(tmp_path / LOG) == [*range(EPOCHS)]
    # The bar begins where the training goes on.
    assert bars == [(NETWORKS[name].title, EPOCHS * STEPS)]
    assert steps == [done * STEPS] + [1] * ((EPOCHS - done) * STEPS)


@pytest.mark.parametrize(
    "name", ["masks", pytest.param("noise", marks=pytest.mark.slow)]
)
def test_what_is_random_goes_on(name, whole, tmp_path):
    network = NETWORKS[name]
    assert stopped(
        lambda: trained(network, tmp_path, start=stop_at_step(STEPS + 1, _stop))
    )
    made = trained(network, tmp_path)
    assert_same(made.model, whole(name).model)
    assert_same_figures(made.history, whole(name).history)


def test_another_seed_is_another_training(whole):
    other = trained(replace(NETWORKS["masks"], seed=1))
    assert moved(other.model, whole("masks").model) > 1e-3


def test_a_backup_that_was_being_written(whole, tmp_path):
    """Cut off in the midst of the weights: the epoch before is taken."""
    assert stopped(
        lambda: trained(PLAIN, tmp_path, start=stop_at_step(2 * STEPS + 1, _stop))
    )
    files = [path for path in (tmp_path / BACKUP).rglob("*") if path.is_file()]
    newest = max(
        (path for path in files if path.name.endswith(".weights.h5")),
        key=lambda path: path.stat().st_mtime_ns,
    )
    newest.write_bytes(newest.read_bytes()[:1000])
    made = trained(PLAIN, tmp_path)
    assert_same(made.model, whole("cosine").model)


@pytest.mark.slow
def test_each_epoch_has_its_order_in_a_resumed_fit(tmp_path):
    """Of the batches themselves, not only of what is learned from them."""
    seen = []

    class Watched(ShuffledBatches):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            seen.append((self._epoch, index, *batch[1]))
            return batch

    def run(folder, start=training.silent):
        seen.clear()
        model = PLAIN.build((28, 28, 1), 10)
        training.compile_model(model, PLAIN, EPOCHS * STEPS)
        batches = Watched(data()[:2], SIZE, seed=3)
        fit(model, batches, EPOCHS, folder, start, "a title", lambda history: None)
        return {row[:2]: row[2:] for row in seen}

    undisturbed = run(None)
    assert {key for key in undisturbed if key[0] < EPOCHS} == {
        (epoch, step) for epoch in range(EPOCHS) for step in range(STEPS)
    }
    assert stopped(lambda: run(tmp_path, stop_at_step(STEPS + 1, _stop)))
    resumed = run(tmp_path)
    late = {(epoch, step) for epoch in (1, 2) for step in range(STEPS)}
    assert late <= resumed.keys()
    assert all(resumed[key] == undisturbed[key] for key in late)
    orders = {
        sum((undisturbed[epoch, s] for s in range(STEPS)), ()) for epoch in (0, 1)
    }
    assert len(orders) == 2


def test_read_log_takes_the_last_row_of_an_epoch(tmp_path):
    path = tmp_path / LOG
    path.write_text(
        "epoch,accuracy,loss,seconds\n0,0.1,2.0,1.5\n1,0.2,1.0,NA\n1,0.3,0.5,2.5\n"
    )
    assert read_log(path) == {
        "accuracy": [0.1, 0.3],
        "loss": [2.0, 0.5],
        "seconds": [1.5, 2.5],
    }
    path.write_text("epoch,loss\n0,NA\n1,0.5\n")
    assert np.isnan(read_log(path)["loss"][0])
    assert read_log(path)["loss"][1] == 0.5


def test_a_history_has_what_was_measured(tmp_path):
    """`CSVLogger` adds columns of a validation that there is none of."""
    made = trained(replace(PLAIN, epochs=1), tmp_path)
    assert {*made.history} == {"accuracy", "loss", "seconds"}


@pytest.mark.parametrize(
    "name", ["normalized", pytest.param("masks", marks=pytest.mark.slow)]
)
def test_precision(name):
    made = trained(replace(NETWORKS[name], epochs=1), precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    policies = {layer.dtype_policy.name for layer in made.model.layers}
    assert policies == {"float32"}
    assert {str(weight.dtype) for weight in made.model.weights} == {"float32"}
    assert not made.model.compiled
    outputs = made.model.predict(data().images, verbose=0)
    assert outputs.dtype == "float32" and np.isfinite(outputs).all()
    # It did train in the other precision.
    full = trained(replace(NETWORKS[name], epochs=1))
    assert 0 < moved(made.model, full.model) < 0.05


def test_the_policy_is_given_back_after_a_mistake():
    with pytest.raises(ValueError, match="`width` must be left out"):
        trained(Network("mnist", "lenet", width=2), precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"


# --- Maskers.


@pytest.fixture(scope="module")
def whole_alternation():
    return alternated()


@collapse
def test_killed_alternation_goes_on(whole_alternation, tmp_path):
    killed("alternation", tmp_path, "step", STEPS + 2)
    assert list((tmp_path / MASKER_BACKUP).glob("*.npz"))
    made = alternated(tmp_path)
    assert isinstance(made.masker, SparseFeatureMasker)
    assert_same(made.classifier, whole_alternation.classifier)
    assert_same(made.masker, whole_alternation.masker)
    assert_same_figures(made.history, whole_alternation.history)
    for name in ("masker_density", "val_defended_accuracy", "seconds", "loss"):
        assert len(made.history[name]) == EPOCHS
    assert all(0 <= density <= 1 for density in made.history["masker_density"])
    assert epochs_in(tmp_path / LOG) == [*range(EPOCHS)]


@collapse
def test_killed_when_all_is_trained(whole_alternation, tmp_path):
    """While what was made is being kept: the masker, too, is the trained one."""

    def keep(made):
        raise Stop

    assert stopped(
        lambda: alternate(
            ALTERNATION, classifier(), data(), data(20), tmp_path, keep=keep
        )
    )
    made = alternated(tmp_path)
    assert_same(made.classifier, whole_alternation.classifier)
    assert_same(made.masker, whole_alternation.masker)
    assert_same_figures(made.history, whole_alternation.history)


@collapse
def test_an_alternation_moves_both(whole_alternation):
    assert moved(whole_alternation.classifier, classifier()) > 1e-3
    keras.utils.set_random_seed(ALTERNATION.seed)
    fresh = alternating.new_masker(ALTERNATION, (28, 28, 1))
    fresh.build((None, 28, 28, 1))
    assert moved(whole_alternation.masker, fresh) > 1e-3


def test_without_a_masker_the_classifier_learns_filtered_images(tmp_path):
    """And goes on in the same way."""
    whole = alternated(masker=False)
    assert whole.masker is None and "masker_density" not in whole.history
    assert moved(whole.classifier, classifier()) > 1e-3
    start = stop_at_step(STEPS + 1, _stop)
    assert stopped(lambda: alternated(tmp_path, start, masker=False))
    made = alternated(tmp_path, masker=False)
    assert_same(made.classifier, whole.classifier)
    assert_same_figures(made.history, whole.history)


def test_what_reaches_the_callback(monkeypatch):
    """Weights, losses that are left out, and the images of a phase."""
    given = []

    class Found(Exception):
        pass

    def callback(masker, images, **options):
        given.append({**options, "steps": len(images)})
        raise Found

    monkeypatch.setattr(alternating, "AlternatingTraining", callback)
    names = ("sparsity_weight", "semantic_weight", "reconstruction_weight", "steps")
    for change, wanted in (
        ({}, (None, None, None, STEPS)),
        ({"images": SIZE + 1}, (None, None, None, 2)),
        ({"images": 1000}, (None, None, None, STEPS)),
        ({"weights": (0.1, 2.0, 3.0)}, (0.1, 2.0, 3.0, STEPS)),
        (
            {"weights": (0.1, 2.0, 3.0), "without": ("semantic",)},
            (0.1, 0.0, 3.0, STEPS),
        ),
        ({"without": ("reconstruction",)}, (None, None, 0.0, STEPS)),
    ):
        with pytest.raises(Found):
            alternated(**change)
        assert tuple(given[-1].get(name) for name in names) == wanted
        assert given[-1]["rho"] == ALTERNATION.rho


# --- Autoencoders.


def test_a_stopped_autoencoder_goes_on(tmp_path):
    setting = Autoencoder("mnist", width=2, epochs=EPOCHS, batch_size=SIZE)
    whole = train_autoencoder(setting, data())
    assert whole.history["loss"][-1] < whole.history["loss"][0]
    start = stop_at_step(STEPS + 1, _stop)
    assert stopped(lambda: train_autoencoder(setting, data(), tmp_path, start))
    made = train_autoencoder(setting, data(), tmp_path)
    assert_same(made.model, whole.model)
    assert_same_figures(made.history, whole.history)


if __name__ == "__main__":
    _child(*sys.argv[1:])
