"""AlternatingTraining: what is logged, collapses, data of all kinds, bad input.

That the classifier is left alone, what either of them sees, errors and resuming are
in alternating_on_backend.py, run here on each backend that is installed.
"""

import copy
import csv
import importlib.util
import json
import math
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from paths import SUPPORT

import keras_maskdef as kmd
from keras_maskdef import callbacks, losses
from keras_maskdef.callbacks import _preparation

X = np.random.default_rng(0).random((32, 8, 8, 3)).astype("float32")
Y = np.arange(32) % 4
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TERMS = ("sparsity", "semantic", "reconstruction", "density", "agreement")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_backend(backend):
    """Minutes; the table of backends has one short epoch for all to run."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    finished = subprocess.run(
        [sys.executable, SUPPORT / "alternating_on_backend.py"],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def classifier(**arguments):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.compile("adam", LOSS, metrics=["accuracy"], **arguments)
    return model


def masker(bias=0.0, **arguments):
    """One mask for each pixel by itself: learns in a few steps."""
    keras.utils.set_random_seed(2)
    start = keras.initializers.Constant(bias)
    network = keras.layers.Conv2D(
        1, 1, activation="sigmoid", bias_initializer=start, **arguments
    )
    return kmd.SparseFeatureMasker(keras.Sequential([keras.Input((8, 8, 3)), network]))


def fit(callback, model=None, more=(), **arguments):
    options = {"epochs": 2, "batch_size": 16, "verbose": 0, **arguments}
    model = model or classifier()
    return model.fit(X, Y, callbacks=[callback, *more], **options).history


def test_what_is_logged(tmp_path):
    """By a masker that does not learn, so that the values can be had by hand."""
    masks, model = masker(0.5), classifier()
    still = keras.optimizers.SGD(0.0)
    callback = kmd.AlternatingTraining(
        masks, X, optimizer=still, batch_size=16, validation_data=(X[:20], Y[:20])
    )
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(callback, model, [log], epochs=1)

    def expected(images):
        masked = masks(images)
        logits, masked_logits = model(images), model(masked)
        same = np.argmax(logits, -1) == np.argmax(masked_logits, -1)
        return {
            "sparsity": float(losses.sparsity(masked)),
            "semantic": float(losses.semantic(logits, masked_logits)),
            "reconstruction": float(losses.reconstruction(images, masked)),
            "density": float(np.mean(masks.mask(images))),
            "agreement": same.mean(),
        }

    for images, prefix in ((X, "masker_"), (X[:20], "val_masker_")):
        values = expected(images)
        for name in TERMS:
            logged = history[prefix + name]
            np.testing.assert_allclose(logged, [values[name]], rtol=1e-4)
        w3 = 2.5e-3 * math.sqrt(8 * 8 * 3) / 1.15
        loss = 2.5e-3 * values["sparsity"] + values["semantic"]
        loss += w3 * values["reconstruction"]
        np.testing.assert_allclose(history[prefix + "loss"], [loss], rtol=1e-4)
    right = np.argmax(kmd.defend(model, masks)(X[:20]), -1) == Y[:20]
    np.testing.assert_allclose(history["val_defended_accuracy"], [right.mean()])
    with (tmp_path / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["masker_density"]) == pytest.approx(history["masker_density"][0])


def test_one_hot_labels_and_datasets_to_validate_on():
    one_hot = keras.utils.to_categorical(Y, 4)
    data = tf.data.Dataset.from_tensor_slices((X, one_hot)).batch(16)
    accuracies = [
        fit(kmd.AlternatingTraining(masker(), X, validation_data=validation), epochs=1)[
            "val_defended_accuracy"
        ]
        for validation in (data, (X, one_hot), (X, Y))
    ]
    assert accuracies[0] == accuracies[1] == accuracies[2]


def test_pretraining_epochs_have_no_pass(tmp_path):
    callback = kmd.AlternatingTraining(masker(), X, pretraining_epochs=2)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(callback, more=[log], epochs=4)
    assert [math.isnan(v) for v in history["masker_loss"]] == [True, True, False, False]
    assert int(callback.optimizer.iterations) == 2
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[3]["masker_density"]) == pytest.approx(
        history["masker_density"][3]
    )


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[16 * index :][:16], Y[16 * index :][:16]


def data_of_all_kinds():
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    return {
        "x": X,
        "x, y": (X, Y),
        "list": [X, Y],
        "dataset": dataset,
        "dataset of images": dataset.map(lambda x, y: x),
        "PyDataset": Batches(),
    }


@pytest.mark.parametrize("kind", data_of_all_kinds())
def test_data_of_all_kinds(kind):
    data = data_of_all_kinds()[kind]
    callback = kmd.AlternatingTraining(masker(), data, batch_size=16)
    fit(callback)
    assert int(callback.optimizer.iterations) == 4


class NoEnd(Batches):
    num_batches = None


ENDLESS = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(16)
DICTIONARIES = tf.data.Dataset.from_tensor_slices({"images": X, "labels": Y}).batch(16)


class OfDictionaries(Batches):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return {"images": images, "labels": labels}


@pytest.mark.parametrize("data", [ENDLESS, NoEnd()], ids=["tf.data", "PyDataset"])
def test_data_without_end_is_refused(data):
    """Before, the pass went on for ever."""
    with pytest.raises(ValueError, match=r"`steps_per_epoch` must be given.*Received"):
        kmd.AlternatingTraining(masker(), data)
    with pytest.raises(ValueError, match=r"`validation_data` must have an end.*Receiv"):
        kmd.AlternatingTraining(masker(), X, validation_data=data)
    kmd.AlternatingTraining(masker(), data, steps_per_epoch=1)


def test_endless_data_of_a_strategy_are_refused():
    spread = tf.distribute.OneDeviceStrategy("CPU:0").experimental_distribute_dataset
    with pytest.raises(ValueError, match=r"`steps_per_epoch` must be given.*Received"):
        kmd.AlternatingTraining(masker(), spread(ENDLESS))
    with pytest.raises(ValueError, match=r"`data` must hold at least one batch"):
        kmd.AlternatingTraining(masker(), spread(ENDLESS.take(0)))
    kmd.AlternatingTraining(masker(), spread(ENDLESS.take(1)))


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras' own
def test_a_loader_of_no_known_length():
    torch = pytest.importorskip("torch")

    class Images(torch.utils.data.IterableDataset):
        def __iter__(self):
            return zip(torch.from_numpy(X), torch.from_numpy(Y), strict=True)

    loader = torch.utils.data.DataLoader(Images(), batch_size=16)
    callback = kmd.AlternatingTraining(masker(), loader)
    fit(callback, epochs=1)
    assert int(callback.optimizer.iterations)


@pytest.mark.parametrize(
    "data",
    [{"images": X}, DICTIONARIES, DICTIONARIES.map(lambda x: (x, x["labels"]))],
    ids=["arrays", "tf.data", "tf.data of pairs"],
)
def test_dictionaries_are_refused(data):
    with pytest.raises(TypeError, match=r"`data` must be.*not dict.*Received"):
        kmd.AlternatingTraining(masker(), data)
    with pytest.raises(TypeError, match=r"`validation_data` must be.*not dict.*Rec"):
        kmd.AlternatingTraining(masker(), X, validation_data=data)


def test_dictionaries_of_a_dataset_that_tells_of_none_are_refused():
    with pytest.raises(TypeError, match=r"`data` must be.*not dict.*Received"):
        fit(kmd.AlternatingTraining(masker(), OfDictionaries()))


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_goes_on_where_the_original_is(way):
    """The next `fit` of both has the same results; neither changes the other."""
    data = tf.data.Dataset.from_tensor_slices(X).batch(16)
    model, masks = classifier(), masker()
    callback = kmd.AlternatingTraining(masks, data if way == "deepcopy" else X)
    fit(callback, model, epochs=1)
    copied = copy.deepcopy(copy.deepcopy(callback))
    if way == "pickle":
        copied = pickle.loads(pickle.dumps(callback))
    before, found = masks.get_weights(), []
    for each in (copied, callback):
        np.testing.assert_array_equal(masks.get_weights()[0], before[0])
        other = classifier()
        other.set_weights(model.get_weights())
        fit(each, other, epochs=1)
        found.append(each.masker.get_weights())
    for a, b, c in zip(*found, before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
        assert (a != c).any()


def test_data_without_end():
    data = tf.data.Dataset.from_tensor_slices(X).batch(16).repeat()
    callback = kmd.AlternatingTraining(masker(), data, steps_per_epoch=5)
    fit(callback)
    assert int(callback.optimizer.iterations) == 10


def test_arrays_are_shuffled_by_the_seed():
    def weights(seed):
        masks = masker()
        fit(kmd.AlternatingTraining(masks, X, batch_size=8, seed=seed))
        return masks.get_weights()

    first, again, other = weights(0), weights(0), weights(1)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras' own
@pytest.mark.parametrize("kind", ["dataset", "unknown end", "several steps", "masked"])
def test_filtered_images_from_all_kinds_of_data(kind):
    """The steps see through the filter, to the last bit of the weights."""
    filters = [kmd.BitDepthReduction(2), kmd.MedianFilter(3)]
    filtered = filters[1](filters[0](X)).numpy()

    def data(images):
        made = tf.data.Dataset.from_tensor_slices((images, Y)).batch(16)
        return made.filter(lambda x, y: True) if kind == "unknown end" else made

    arguments = {"steps_per_execution": 2} if kind == "several steps" else {}
    together, alone = classifier(**arguments), classifier(**arguments)
    train_on = "masked" if kind == "masked" else "filtered"
    callback = kmd.AlternatingTraining(masker(), X, filters, train_on=train_on)
    # After an end that it did not know, Keras' own optimizer has counted one step more.
    epochs = 1 if kind == "unknown end" else 2
    options = {"epochs": epochs, "verbose": 0, "shuffle": False}
    together.fit(data(X), callbacks=[callback], **options)
    alone.fit(data(filtered), **options)
    pairs = zip(together.variables, alone.variables, strict=True)
    equal = all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)
    assert equal == (kind != "masked")


def test_sample_weights_pass_the_view():
    weights = np.linspace(0, 1, 32)
    together, alone = classifier(), classifier()
    filters = kmd.BitDepthReduction(1)
    callback = kmd.AlternatingTraining(masker(), X, filters)
    options = {"sample_weight": weights, "shuffle": False, "verbose": 0}
    together.fit(X, Y, callbacks=[callback], **options)
    alone.fit(filters(X).numpy(), Y, **options)
    np.testing.assert_array_equal(together.get_weights()[0], alone.get_weights()[0])


def strong(**arguments):
    """Learns fast enough to be where it ends after some passes."""
    optimizer = keras.optimizers.Adam(0.3)
    return {"optimizer": optimizer, "batch_size": 4, **arguments}


def test_without_reconstruction_the_mask_empties():
    weights = {"reconstruction_weight": 0, "sparsity_weight": 0.5}
    callback = kmd.AlternatingTraining(masker(), X, **strong(**weights))
    with pytest.warns(callbacks.EmptyMaskWarning, match=r"density 0\.0"):
        history = fit(callback, epochs=10)
    assert history["masker_density"][-1] < 0.02


def test_with_a_small_rho_the_mask_fills():
    """The paper's weights, whose norms per image make it so."""
    callback = kmd.AlternatingTraining(masker(), X, **strong(reconstruction_weight=1.0))
    below_one = pytest.warns(
        callbacks.IdentityOptimumWarning, match=r"`rho` is 0\.0346"
    )
    with below_one, pytest.warns(callbacks.FullMaskWarning, match=r"density 0\.9|1\.0"):
        history = fit(callback, epochs=6)
    assert history["masker_density"][-1] > 0.98


def test_without_semantics_the_classifier_is_lost():
    """The same weights with and without it: what the mask keeps has no meaning."""
    rng = np.random.default_rng(3)
    images = np.zeros((64, 8, 8, 3), "float32")
    labels = rng.integers(0, 2, 64)
    # A bright red or a faint blue square, on a bright green ground.
    images[..., 1] = 1.0
    for image, label in zip(images, labels, strict=True):
        image[2:6, 2:6] = (0.9, 0, 0) if label else (0, 0, 0.5)

    def agreement(semantic_weight):
        model, masks = classifier(), masker()
        callback = kmd.AlternatingTraining(
            masks, images, **strong(semantic_weight=semantic_weight, rho=2.5)
        )
        options = {"epochs": 15, "verbose": 0}
        history = model.fit(images, labels, callbacks=[callback], **options).history
        return history["masker_semantic"][-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", callbacks.EmptyMaskWarning)
        assert agreement(1.0) < 0.5 * agreement(0.0)


def test_the_weight_of_the_reconstruction():
    """`rho` for images and for whole batches; the paper's weights only warn for one."""
    shape, w1 = (32, 32, 3), 2.5e-3
    weight = _preparation.reconstruction_weight
    assert weight(w1, None, 2.0, shape, 1) == pytest.approx(w1 * math.sqrt(3072) / 2)
    whole = weight(w1, None, 2.0, shape, 128)
    assert whole == pytest.approx(w1 * math.sqrt(128 * 3072) / 2)
    assert weight(w1, 1.0, 2.0, shape, 128) == 1.0
    with pytest.warns(callbacks.IdentityOptimumWarning, match=r"`rho` is 0\.139"):
        weight(w1, 1.0, 2.0, shape, 1)
    with pytest.warns(callbacks.IdentityOptimumWarning, match=r"`rho` is 0:"):
        assert weight(0.0, None, 2.0, shape, 1) == 0.0
    with pytest.raises(ValueError, match=r"`batch_size` .* must be given.*Received"):
        weight(w1, None, 2.0, shape, None)


def test_batch_norms_need_the_size_of_a_batch():
    data = tf.data.Dataset.from_tensor_slices(X).batch(8)
    with pytest.raises(ValueError, match=r"`batch_size` .* must be given"):
        fit(kmd.AlternatingTraining(masker(), data, norms="batch"))
    known = data.map(lambda x: tf.ensure_shape(x, (8, 8, 8, 3)))
    weights = []
    for given in ({"data": data, "batch_size": 8}, {"data": known}):
        callback = kmd.AlternatingTraining(masker(), norms="batch", **given)
        fit(callback, epochs=1)
        weights.append(callback._trainer.loss_weights)
    assert weights[0] == weights[1]


def test_terminate_on_nan():
    model, masks = classifier(), masker()
    before = masks.get_weights()
    broken = np.where(np.arange(32)[:, None, None, None] == 5, np.nan, X)
    callback = kmd.AlternatingTraining(masks, X)
    stop = keras.callbacks.TerminateOnNaN()
    history = model.fit(broken, Y, epochs=3, callbacks=[stop, callback], verbose=0)
    assert len(history.history["loss"]) == 1
    assert math.isnan(history.history["masker_loss"][0])
    np.testing.assert_array_equal(masks.get_weights()[0], before[0])


def test_a_pass_with_nan_is_undone_and_stops():
    masks = masker()
    before = masks.get_weights()
    broken = np.where(np.arange(32)[:, None, None, None] == 5, np.nan, X)
    with pytest.warns(UserWarning, match="The masker's loss is not finite"):
        history = fit(kmd.AlternatingTraining(masks, broken), epochs=3)
    assert len(history["loss"]) == 1
    np.testing.assert_array_equal(masks.get_weights()[0], before[0])


def test_early_stopping_on_the_mask():
    callback = kmd.AlternatingTraining(masker(), X, optimizer=keras.optimizers.SGD(0.0))
    stop = keras.callbacks.EarlyStopping("masker_loss", mode="min", min_delta=10)
    assert len(fit(callback, more=[stop], epochs=9)["loss"]) == 2
    saved = keras.callbacks.EarlyStopping("loss", min_delta=1e9)
    callback = kmd.AlternatingTraining(masker(), X)
    history = classifier().fit(X, Y, epochs=9, callbacks=[saved, callback], verbose=0)
    assert len(history.history["masker_loss"]) == 2


def test_a_second_fit_goes_on():
    callback, model = kmd.AlternatingTraining(masker(), X, batch_size=16), classifier()
    fit(callback, model)
    fit(callback, model)
    assert int(callback.optimizer.iterations) == 8


def test_calls_of_fit_count_together():
    """One epoch a call, as in a loop: pretraining once, masked images afterwards."""
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(callback._view is not None)

    callback = kmd.AlternatingTraining(
        masker(), X, train_on="masked", pretraining_epochs=1
    )
    model = classifier()
    for _ in range(4):
        fit(callback, model, [Spy()], epochs=1)
    assert seen == [False, False, True, True]


def test_a_crash_and_a_second_fit_of_the_same_objects(tmp_path):
    """In a notebook; in whichever order the two backups are."""

    class Crash(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1 and not crashed:
                crashed.append(epoch)
                raise KeyboardInterrupt

    for position in (0, 1, 2):
        crashed, folder = [], tmp_path / str(position)
        model, masks = classifier(), masker()
        saved = keras.callbacks.BackupAndRestore(folder / "classifier")
        callback = kmd.AlternatingTraining(
            masks, X, batch_size=16, backup_dir=folder / "masker"
        )
        order = [saved, callback]
        if position == 1:
            order.reverse()
        order.insert(1 if position < 2 else 2, Crash())
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, epochs=4, callbacks=order, verbose=0)
        model.fit(X, Y, epochs=4, callbacks=order, verbose=0)
        assert int(callback.optimizer.iterations) == 8


@pytest.mark.parametrize("again", [True, False], ids=["same callback", "no callback"])
def test_a_view_whose_step_never_came(again):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise KeyboardInterrupt

    filters = kmd.BitDepthReduction(1)
    crashed, alone = classifier(), classifier()
    callback = kmd.AlternatingTraining(masker(), X, filters)
    with pytest.raises(KeyboardInterrupt):
        fit(callback, crashed, [Crash()])
    options = {"epochs": 1, "shuffle": False}
    seen = filters(X).numpy() if again else X
    fit(callback if again else keras.callbacks.Callback(), crashed, **options)
    alone.fit(seen, Y, batch_size=16, verbose=0, **options)
    np.testing.assert_array_equal(crashed.get_weights()[0], alone.get_weights()[0])


def test_regularizers_of_the_network_count():
    decay = keras.regularizers.L2(0.5)
    masks = masker(kernel_regularizer=decay)
    kernel = masks.get_weights()[0]

    def loss(masks):
        still = keras.optimizers.SGD(0.0)
        callback = kmd.AlternatingTraining(masks, X, optimizer=still)
        return fit(callback, epochs=1)["masker_loss"][0]

    difference = loss(masks) - loss(masker())
    assert difference == pytest.approx(0.5 * (kernel**2).sum(), rel=1e-3)


def test_a_classifier_whose_call_takes_no_training():
    class Classifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = classifier()

        def call(self, images):
            return self.inner(images)

    model = Classifier()
    model(X)
    model.compile("adam", LOSS)
    history = fit(kmd.AlternatingTraining(masker(), X), model)
    assert np.isfinite(history["masker_loss"]).all()


def test_a_classifier_of_one_output_is_refused():
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"at least two classes.*Received.*1\)"):
        fit(kmd.AlternatingTraining(masker(), X), model)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, masks = classifier(), masker()
    finally:
        keras.config.set_dtype_policy("float32")
    filters = kmd.MedianFilter(2)
    callback = kmd.AlternatingTraining(masks, X, filters, train_on="masked")
    history = fit(callback, model)
    assert np.isfinite(history["masker_loss"]).all()


def test_config_round_trip():
    arguments = {
        "preprocessing": [kmd.MedianFilter(2)],
        "sparsity_weight": 0.1,
        "semantic_weight": 0.2,
        "reconstruction_weight": 0.3,
        "rho": 1.4,
        "norms": "batch",
        "train_on": "masked",
        "optimizer": keras.optimizers.SGD(0.5),
        "pretraining_epochs": 6,
        "steps_per_epoch": 7,
        "batch_size": 8,
        "backup_dir": "somewhere",
        "delete_backup": False,
        "verbose": np.int64(1),
        "seed": np.uint8(9),
    }
    callback = kmd.AlternatingTraining(masker(), X, **arguments)
    config = json.loads(json.dumps(callback.get_config()))
    assert set(config) == {"masker", *arguments}
    rebuilt = kmd.AlternatingTraining.from_config(config, X, (X, Y))
    assert json.dumps(rebuilt.get_config()) == json.dumps(config)
    assert rebuilt.validation_data is not None


KILLED = """
import os, sys
import keras, numpy as np
import test_alternating_training as t
import keras_maskdef as kmd
folder, kill = sys.argv[1], sys.argv[2] == "kill"
class Kill(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if kill and epoch == 1:
            os._exit(9)
masks, model = t.masker(), t.classifier()
backup = keras.callbacks.BackupAndRestore(folder + "/classifier")
callback = kmd.AlternatingTraining(masks, t.X, batch_size=16, backup_dir=folder + "/m")
model.fit(t.X, t.Y, batch_size=16, epochs=4, shuffle=False, verbose=0,
          callbacks=[backup, Kill(), callback])
weights = [*model.get_weights(), *masks.get_weights()]
np.savez(folder + "/end.npz", *weights)
print(int(callback.optimizer.iterations))
"""


def test_a_killed_process_resumes(tmp_path):
    """Killed after the classifier was saved and before its masker's pass."""

    def run(folder, kill):
        path = os.pathsep.join((str(SUPPORT), str(Path(__file__).parent)))
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path / folder), kill],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    whole = run("whole", "no")
    assert whole.returncode == 0, whole.stderr
    assert run("killed", "kill").returncode == 9
    resumed = run("killed", "no")
    assert resumed.returncode == 0, resumed.stderr
    assert whole.stdout.split()[-1] == resumed.stdout.split()[-1] == "8"
    expected = np.load(tmp_path / "whole" / "end.npz")
    result = np.load(tmp_path / "killed" / "end.npz")
    for name in expected.files:
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        ({"masker": 3}, TypeError, "`masker` must be"),
        (
            {"data": (x for x in ())},
            TypeError,
            "`data` must be iterable more than once",
        ),
        (
            {"validation_data": (x for x in ())},
            TypeError,
            "`validation_data` must be iterable more than once",
        ),
        ({"data": None}, TypeError, "`data` must be images"),
        ({"data": 3}, TypeError, "`data` must be images"),
        ({"data": X.astype("uint8")}, TypeError, "`data` must be floating point"),
        ({"data": X[:0]}, ValueError, "`data` must hold at least one batch"),
        ({"data": ()}, ValueError, "`data` must hold at least one batch"),
        (
            {"data": tf.data.Dataset.from_tensor_slices(X[:0]).batch(2)},
            ValueError,
            "`data` must hold at least one batch",
        ),
        ({"preprocessing": "median"}, TypeError, "`preprocessing` must be"),
        ({"preprocessing": [3]}, TypeError, "`preprocessing` must be"),
        ({"sparsity_weight": -1}, ValueError, "`sparsity_weight` must be"),
        ({"semantic_weight": math.nan}, ValueError, "`semantic_weight` must be"),
        ({"reconstruction_weight": -1e-9}, ValueError, "`reconstruction_weight` must"),
        ({"rho": 0}, ValueError, "`rho` must be"),
        ({"norms": "l2"}, ValueError, "`norms` must be"),
        ({"train_on": "both"}, ValueError, "`train_on` must be"),
        ({"pretraining_epochs": -1}, ValueError, "`pretraining_epochs` must be"),
        ({"steps_per_epoch": 0}, ValueError, "`steps_per_epoch` must be"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be"),
        ({"validation_data": X}, ValueError, "`validation_data` must hold"),
        ({"validation_data": (X,)}, ValueError, "`validation_data` must hold"),
        (
            {"validation_data": tf.data.Dataset.from_tensors(X)},
            ValueError,
            "`validation_data` must hold",
        ),
        ({"seed": None}, ValueError, "`seed` must be"),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match + r".*Received"):
        kmd.AlternatingTraining(**{"masker": masker(), "data": X, **arguments})


def too_bright():
    layer = keras.layers.Conv2D(1, 1, bias_initializer="ones")
    return kmd.SparseFeatureMasker(keras.Sequential([keras.Input((8, 8, 3)), layer]))


@pytest.mark.parametrize(
    "masks, arguments, match",
    [
        (masker, {"data": X[:, :6]}, "`data` must hold images of the shape"),
        (too_bright, {}, r"`masker.network` must return values in \[0, 1\]"),
        (
            masker,
            {"preprocessing": keras.layers.AveragePooling2D(2)},
            "`preprocessing` must keep the shape",
        ),
        (
            masker,
            {"preprocessing": keras.layers.Conv2D(3, 3, padding="same")},
            "`preprocessing` must have no trainable weights",
        ),
    ],
)
def test_what_is_checked_before_the_first_step(masks, arguments, match):
    model = classifier()
    before = model.get_weights()
    with pytest.raises(ValueError, match=match + r".*Received"):
        fit(kmd.AlternatingTraining(masks(), **{"data": X, **arguments}), model)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_a_classifier_that_is_not_built():
    callback = kmd.AlternatingTraining(masker(), X)
    callback.set_model(keras.Sequential([keras.layers.Flatten()]))
    with pytest.raises(ValueError, match=r"must be built before.*Received"):
        callback.on_train_begin()
