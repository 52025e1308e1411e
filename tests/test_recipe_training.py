"""Trainings that are killed, of recipes' networks, maskers and autoencoders.

Run as a script, this file is the process that is killed.
"""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_maskdef._batches import ShuffledBatches
from keras_maskdef._image_data import ImageData
from keras_maskdef.layers import SparseFeatureMasker
from keras_maskdef.recipes import training
from keras_maskdef.recipes.alternating import MASKER_BACKUP, alternate
from keras_maskdef.recipes.alternation import Alternation
from keras_maskdef.recipes.autoencoder import Autoencoder
from keras_maskdef.recipes.mask_setting import MaskSetting
from keras_maskdef.recipes.network import Network
from keras_maskdef.recipes.reforming import train_autoencoder
from keras_maskdef.recipes.training import BACKUP, LOG, fit, read_log, train

EPOCHS, STEPS, SIZE = 4, 3, 16
SHORT = {"epochs": EPOCHS, "batch_size": SIZE}
PLAIN = Network("mnist", "lenet", **SHORT)
NETWORKS = {
    "plain": PLAIN,
    "cosine": Network("mnist", "lenet", schedule="cosine", **SHORT),
    "normalized": Network("mnist", "convnet", width=2, **SHORT),
    "parseval": Network("mnist", "lenet", parseval=1e-3, **SHORT),
}
RANDOM = {
    "masks": Network("mnist", "lenet", mask=MaskSetting(7), **SHORT),
    "noise": Network("mnist", "lenet", noise=0.1, **SHORT),
}
ALTERNATION = Alternation(
    Network("mnist", "convnet", width=2, batch_size=SIZE),
    masker_widths=(2, 4),
    rho=1.3,
    epochs=EPOCHS,
)
# A masker of three widths and a few steps may hide all or nothing.
collapse = pytest.mark.filterwarnings("ignore::keras_maskdef.callbacks.EmptyMaskWarning")


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


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def killed(what, folder, moment, number):
    """Trains in a process of its own that ends in the midst of it."""
    arguments = [__file__, what, str(folder), moment, str(number)]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
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
    assert figures(one).keys() == figures(other).keys()
    for name, values in figures(one).items():
        np.testing.assert_allclose(values, other[name], rtol=1e-4, atol=1e-6)


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
            made[name] = trained({**NETWORKS, **RANDOM}[name])
        return made[name]

    return of


@pytest.mark.parametrize(
    ("name", "moment", "number"),
    [("plain", "epoch", 2), ("cosine", "step", STEPS + 2)],
)
def test_killed_training_goes_on(name, moment, number, whole, tmp_path):
    killed(name, tmp_path, moment, number)
    assert (tmp_path / BACKUP).exists()
    made = trained(NETWORKS[name], tmp_path)
    assert_same(made.model, whole(name).model)
    assert_same_figures(made.history, whole(name).history)
    assert len(made.history["seconds"]) == EPOCHS
    assert min(made.history["seconds"]) > 0
    assert epochs_in(tmp_path / LOG) == [*range(EPOCHS)]


@pytest.mark.parametrize("name", ["normalized", "parseval", *RANDOM])
def test_stopped_training_goes_on(name, whole, tmp_path):
    """Twice, in the first epoch and in the last one."""
    network = {**NETWORKS, **RANDOM}[name]
    for step in (2, (EPOCHS - 1) * STEPS + 1):
        with pytest.raises(Stop):
            trained(network, tmp_path, start=stop_at_step(step, _stop))
    made = trained(network, tmp_path)
    assert len(made.history["loss"]) == EPOCHS
    assert_same(made.model, whole(name).model)
    assert_same_figures(made.history, whole(name).history)


def test_a_training_follows_from_its_seed(whole):
    again = trained(RANDOM["masks"])
    assert_same(again.model, whole("masks").model)
    other = trained(Network(**{**vars(RANDOM["masks"]), "seed": 1}))
    assert moved(other.model, whole("masks").model) > 1e-3


def test_the_learning_rate_goes_on(monkeypatch, tmp_path):
    """A resumed cosine is where it would have been."""
    seen = []

    class Rate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(self.model.optimizer.learning_rate))

    def watched(*arguments, **options):
        arguments = [*arguments[:6], [Rate()]]
        return fit(*arguments, **options)

    monkeypatch.setattr(training, "fit", watched)
    network = NETWORKS["cosine"]
    with pytest.raises(Stop):
        trained(network, tmp_path, start=stop_at_step(2 * STEPS, _stop))
    trained(network, tmp_path)
    cosine = keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * STEPS)
    # The second epoch was done, but not kept, when it was stopped.
    steps = [*range(2 * STEPS), *range(STEPS, EPOCHS * STEPS)]
    wanted = [float(cosine(step + 1)) for step in steps]
    np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=1e-9)


def test_a_backup_that_was_being_written(whole, tmp_path):
    """Cut off in the midst of the weights: the epoch before is taken."""
    with pytest.raises(Stop):
        trained(PLAIN, tmp_path, start=stop_at_step(3 * STEPS + 1, _stop))
    files = [path for path in (tmp_path / BACKUP).rglob("*") if path.is_file()]
    newest = max(
        (path for path in files if path.name.endswith(".weights.h5")),
        key=lambda path: path.stat().st_mtime_ns,
    )
    newest.write_bytes(newest.read_bytes()[:1000])
    made = trained(PLAIN, tmp_path)
    assert_same(made.model, whole("plain").model)


def test_killed_between_weights_and_their_epoch(whole, tmp_path, monkeypatch):
    """No epoch is trained twice on top of itself."""
    real, seen = json.dumps, []

    def dumps(value, *arguments, **options):
        if isinstance(value, dict) and value.get("epoch") == 2:
            seen.append(value)
            raise Stop
        return real(value, *arguments, **options)

    monkeypatch.setattr(json, "dumps", dumps)
    try:
        trained(PLAIN, tmp_path)
    except Stop:
        monkeypatch.undo()
    assert bool(seen) == (not (tmp_path / BACKUP).exists() or bool(seen))
    made = trained(PLAIN, tmp_path)
    assert_same(made.model, whole("plain").model)


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
        fit(model, batches, EPOCHS, folder, start, "a title")
        return {row[:2]: row[2:] for row in seen}

    undisturbed = run(None)
    assert {key for key in undisturbed if key[0] < EPOCHS} == {
        (epoch, step) for epoch in range(EPOCHS) for step in range(STEPS)
    }
    with pytest.raises(Stop):
        run(tmp_path, stop_at_step(2 * STEPS + 1, _stop))
    resumed = run(tmp_path)
    late = {(epoch, step) for epoch in (2, 3) for step in range(STEPS)}
    assert late <= resumed.keys()
    assert all(resumed[key] == undisturbed[key] for key in late)
    orders = {sum((undisturbed[epoch, s] for s in range(STEPS)), ()) for epoch in (0, 1)}
    assert len(orders) == 2


def test_the_bar_shows_what_was_done_before(tmp_path):
    with pytest.raises(Stop):
        trained(PLAIN, tmp_path, start=stop_at_step(2 * STEPS + 1, _stop))
    steps, totals = [], []

    def start(title, total):
        totals.append((title, total))
        return steps.append

    trained(PLAIN, tmp_path, start=start)
    assert totals == [(PLAIN.title, EPOCHS * STEPS)]
    assert steps[0] == 2 * STEPS and sum(steps) == EPOCHS * STEPS


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
    path.write_text("epoch,loss\n0,NA\n1,\n")
    assert np.isnan(read_log(path)["loss"]).all()


@pytest.mark.parametrize("network", [NETWORKS["normalized"], RANDOM["masks"]])
def test_precision(network):
    made = trained(network, precision="mixed_bfloat16")
    before = keras.config.dtype_policy()
    assert before.name == "float32"
    policies = {layer.dtype_policy.name for layer in made.model.layers}
    assert policies == {"float32"}
    assert {str(weight.dtype) for weight in made.model.weights} == {"float32"}
    assert made.model.optimizer is None
    full = trained(network)
    # It was another training, near the same one.
    assert 0 < moved(made.model, full.model)
    outputs = made.model.predict(data().images, verbose=0)
    assert outputs.dtype == "float32" and np.isfinite(outputs).all()


def test_the_policy_is_given_back_after_a_mistake():
    with pytest.raises(ValueError, match="`width` must be left out"):
        trained(Network("mnist", "lenet", width=2), precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"


# --- Maskers.


@pytest.fixture(scope="module")
def whole_alternation():
    return alternated()


@collapse
@pytest.mark.parametrize(("moment", "number"), [("epoch", 2), ("step", STEPS + 2)])
def test_killed_alternation_goes_on(moment, number, whole_alternation, tmp_path):
    killed("alternation", tmp_path, moment, number)
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
def test_an_alternation_moves_both(whole_alternation):
    assert moved(whole_alternation.classifier, classifier()) > 1e-3
    keras.utils.set_random_seed(ALTERNATION.seed)
    fresh = training_start()
    assert moved(whole_alternation.masker, fresh) > 1e-3


def training_start():
    from keras_maskdef.recipes.alternating import new_masker

    masker = new_masker(ALTERNATION, (28, 28, 1))
    masker.build((None, 28, 28, 1))
    return masker


def test_without_a_masker_the_classifier_learns_filtered_images(tmp_path):
    """And goes on in the same way."""
    whole = alternated(masker=False)
    assert whole.masker is None and "masker_density" not in whole.history
    assert moved(whole.classifier, classifier()) > 1e-3
    with pytest.raises(Stop):
        start = stop_at_step(2 * STEPS + 1, _stop)
        alternated(tmp_path, start, masker=False)
    made = alternated(tmp_path, masker=False)
    assert_same(made.classifier, whole.classifier)
    assert_same_figures(made.history, whole.history)


@collapse
def test_images_of_a_phase(tmp_path):
    """Fewer of them, other ones in each epoch."""
    steps = []
    made = alternated(start=lambda title, total: steps.append, images=SIZE + 1, epochs=1)
    assert sum(steps) == 2
    assert len(made.history["masker_density"]) == 1


@collapse
def test_weights_and_losses_that_are_left_out(monkeypatch):
    """What reaches the callback."""
    from keras_maskdef.recipes import alternating

    given = []

    class Found(Exception):
        pass

    def callback(masker, images, **options):
        given.append(options)
        raise Found

    monkeypatch.setattr(alternating, "AlternatingTraining", callback)
    names = ("sparsity_weight", "semantic_weight", "reconstruction_weight")
    for change, wanted in (
        ({}, (None, None, None)),
        ({"weights": (0.1, 2.0, 3.0)}, (0.1, 2.0, 3.0)),
        ({"weights": (0.1, 2.0, 3.0), "without": ("semantic",)}, (0.1, 0.0, 3.0)),
        ({"without": ("reconstruction",)}, (None, None, 0.0)),
    ):
        with pytest.raises(Found):
            alternated(**change)
        assert tuple(given[-1].get(name) for name in names) == wanted
        assert given[-1]["rho"] == ALTERNATION.rho


# --- Autoencoders.


def test_a_stopped_autoencoder_goes_on(tmp_path):
    setting = Autoencoder("mnist", width=2, epochs=EPOCHS, batch_size=SIZE)
    whole, history = train_autoencoder(setting, data())
    assert history["loss"][-1] < history["loss"][0]
    with pytest.raises(Stop):
        start = stop_at_step(2 * STEPS + 1, _stop)
        train_autoencoder(setting, data(), tmp_path, start)
    made, resumed = train_autoencoder(setting, data(), tmp_path)
    assert_same(made, whole)
    assert_same_figures(resumed, history)


if __name__ == "__main__":
    _child(*sys.argv[1:])
