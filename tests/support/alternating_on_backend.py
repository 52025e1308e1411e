"""AlternatingTraining on the backend of KERAS_BACKEND; run by its own test."""

import os
import random
import warnings

import keras
import numpy as np
from keras import ops

import keras_maskdef as kmd
from keras_maskdef import losses
from keras_maskdef.callbacks._masker_trainer import MaskerTrainer

RANDOM = np.random.default_rng(0)
X = RANDOM.random((48, 12, 12, 3)).astype("float32")
Y = np.arange(48) % 4
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def classifier(optimizer=keras.optimizers.Adam, dropout=0.3):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(4),
        ]
    )
    model.compile(optimizer(1e-2), LOSS, metrics=["accuracy"])
    return model


def masker():
    keras.utils.set_random_seed(2)
    network = kmd.architectures.attention_unet((12, 12, 3), widths=(3, 6))
    return kmd.SparseFeatureMasker(network)


def fit(model, callbacks=(), x=X, **arguments):
    keras.utils.set_random_seed(3)
    options = {"batch_size": 16, "epochs": 3, "verbose": 0, **arguments}
    return model.fit(x, Y, callbacks=list(callbacks), **options).history


def values(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def differ(first, second):
    assert any((a != b).any() for a, b in zip(first, second, strict=True))


class Steps(keras.callbacks.Callback):
    """The compiled step, and the trainable flags, at every epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        flags = [layer.trainable for layer in self.model.layers]
        self.seen.append((self.model.train_function, flags))


def check_that_the_classifier_is_left_alone():
    alone, together = classifier(), classifier()
    fit(alone)
    steps = Steps()
    masks = masker()
    before = [np.array(ops.convert_to_numpy(v)) for v in masks.variables]
    history = fit(together, [steps, kmd.AlternatingTraining(masks, X, batch_size=16)])
    same(values(alone), values(together))
    assert all(seen == steps.seen[0] for seen in steps.seen)
    assert together.train_function is steps.seen[0][0]
    assert len(history["masker_loss"]) == 3
    differ(before, [ops.convert_to_numpy(v) for v in masks.variables])
    assert int(ops.convert_to_numpy(together.optimizer.iterations)) == 9


def check_what_the_classifier_sees():
    """Filtered images for `filtered`; for `masked` those of the mask of the moment."""
    filters = kmd.MedianFilter(2)
    filtered = ops.convert_to_numpy(filters(X))
    alone, together = classifier(), classifier()
    fit(alone, x=filtered)
    fit(together, [kmd.AlternatingTraining(masker(), X, filters, batch_size=16)])
    same(values(alone), values(together))

    # By hand: an epoch on filtered images, a pass, an epoch on masked ones. Not with
    # Adam, which makes much of the last bit of a bias before a batch normalization.
    model, masks = classifier(keras.optimizers.SGD), masker()
    callback = kmd.AlternatingTraining(
        masks, X, filters, train_on="masked", batch_size=16
    )
    fit(model, [callback], epochs=2, shuffle=False)
    hand, mine = classifier(keras.optimizers.SGD), masker()
    fit(hand, epochs=1, x=filtered, shuffle=False)
    other = kmd.AlternatingTraining(mine, X, filters, batch_size=16)
    other.set_model(hand)
    other.on_train_begin()
    other.on_epoch_begin(0)
    other.on_epoch_end(0, {})
    seen = ops.convert_to_numpy(filters(mine(X)))
    hand.fit(seen, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(values(model), values(hand), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def check_that_the_live_classifier_counts():
    """The semantic loss is that of the weights of now, not of the first trace."""
    model, masks = classifier(), masker()
    trainer = MaskerTrainer(masks, model, None, (0.0, 1.0, 0.0), "image")
    trainer.compile(keras.optimizers.SGD(0.0))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        model.set_weights([rng.random(w.shape) for w in model.get_weights()])
        trainer.take_snapshot()
        logged = trainer.evaluate(X, verbose=0, batch_size=48, return_dict=True)
        masked = masks(X, training=False)
        outputs = [model(x, training=False) for x in (X, masked)]
        expected = float(ops.convert_to_numpy(losses.semantic(*outputs)))
        np.testing.assert_allclose(logged["semantic"], expected, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(logged["loss"], expected, rtol=1e-3, atol=1e-6)


def check_a_classifier_with_masks():
    """It draws new ones in each step of a pass, and the live one's stay."""
    layers = [keras.Input((12, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    mask = kmd.RandomGridMask(4, 0.5, seed=1)
    vote = kmd.VotingEnsemble(keras.Sequential(layers), mask, votes=2)
    trainer = MaskerTrainer(masker(), vote, None, (0.0, 1.0, 0.0), "image")
    trainer.compile(keras.optimizers.SGD(0.0))
    trainer.take_snapshot()
    trainer.fit(X, batch_size=16, verbose=0)
    own = mask.seed_generator.state
    (state,) = (v for v in trainer.copies if v.dtype == own.dtype and v.ndim == 1)
    counted = (
        keras.backend.backend() == "tensorflow"
    )  # in steps of 256, before the seed
    for variable, count in ((state, 6), (own, 0)):
        expected = [256 * count, 0, 1] if counted else [1, count]
        assert ops.convert_to_numpy(variable).tolist() == expected


class Failing(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1 and self.fails:
            raise OSError("the disk is gone")
        return (X[:16],)

    fails = True


def check_an_error_in_the_pass():
    model, masks, data = classifier(), masker(), Failing()
    callback = kmd.AlternatingTraining(masks, data)
    before = [np.array(ops.convert_to_numpy(v)) for v in masks.variables]
    try:
        fit(model, [callback])
    except Exception as error:
        assert "the disk is gone" in str(error) + repr(error.__cause__)
    else:
        raise AssertionError("no error")
    alone = classifier()
    fit(alone, epochs=1)
    same(values(alone), values(model))
    same(before, [ops.convert_to_numpy(v) for v in masks.variables])
    data.fails = False
    fit(model, [callback], epochs=1)
    differ(before, [ops.convert_to_numpy(v) for v in masks.variables])


def check_resuming():
    """What a second process does: new objects, the classifier's and masker's files."""
    import tempfile
    from pathlib import Path

    def training(folder, epochs, stop_after=None):
        # Keras does not restore the random numbers of Dropout.
        model, masks = classifier(dropout=0.0), masker()
        callbacks = [
            keras.callbacks.BackupAndRestore(folder / "classifier"),
            kmd.AlternatingTraining(
                masks, X, batch_size=16, backup_dir=folder / "masker"
            ),
        ]
        if stop_after is not None:
            callbacks.insert(stop_after, Crash())
        try:
            fit(model, callbacks, epochs=epochs, shuffle=False)
        except KeyboardInterrupt:
            assert stop_after is not None
        return values(model), [ops.convert_to_numpy(v) for v in masks.variables]

    with tempfile.TemporaryDirectory() as folder:
        expected = training(Path(folder) / "whole", 4)
        # After both backups, between them, and before both.
        for position in (2, 1, 0):
            place = Path(folder) / str(position)
            training(place, 4, stop_after=position)
            resumed = training(place, 4)
            for a, b in zip(expected, resumed, strict=True):
                for one, other in zip(a, b, strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
            assert not list((place / "masker").glob("*.npz"))


class Crash(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


class CrashIn(keras.callbacks.Callback):
    """Raises in a hook of an epoch."""

    def __init__(self, hook, epoch, error):
        super().__init__()
        self.place, self.error, self.epoch = (hook, epoch), error, 0

    def _reach(self, hook):
        if (hook, self.epoch) == self.place:
            raise self.error

    def on_train_begin(self, logs=None):
        self._reach("on_train_begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self._reach("on_epoch_begin")

    def on_train_batch_begin(self, batch, logs=None):
        self._reach("on_train_batch_begin")

    def on_epoch_end(self, epoch, logs=None):
        self._reach("on_epoch_end")


def global_state():
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    config = keras.config
    return (
        python,
        [part.tolist() if isinstance(part, np.ndarray) else part for part in numpy],
        config.dtype_policy().name,
        (config.floatx(), config.image_data_format(), config.epsilon()),
        list(warnings.filters),
        dict(os.environ),
        np.random.RandomState,
    )


def go_on(model, way):
    if way == "train_on_batch":
        model.train_on_batch(X[:16], Y[:16])
    elif way == "compile":
        model.compile(keras.optimizers.SGD(1e-2), LOSS)
        fit(model, epochs=1)
    else:
        fit(model, epochs=1)


def check_that_a_crash_leaves_nothing_behind():
    """Wherever another callback raises: as where that one is alone.

    The first epoch sees images as they are, the first batch of the second is the first
    to be masked.
    """
    begin = ("on_train_batch_begin", 1)
    cases = [
        ("on_train_begin", 0, OSError("lost"), "fit"),
        ("on_epoch_end", 0, OSError("lost"), "fit"),
        ("on_epoch_begin", 1, OSError("lost"), "fit"),
        (*begin, OSError("lost"), "fit"),
        (*begin, KeyboardInterrupt(), "train_on_batch"),
        (*begin, KeyboardInterrupt(), "compile"),
    ]
    for hook, epoch, error, way in cases:
        results = []
        for beside in (False, True):
            model, callbacks = classifier(), [CrashIn(hook, epoch, error)]
            if beside:
                callbacks.insert(
                    0, kmd.AlternatingTraining(masker(), X, train_on="masked")
                )
            try:
                fit(model, callbacks)
            except type(error):
                state = global_state()
            else:
                raise AssertionError("no error")
            go_on(model, way)
            results.append((values(model), state))
        same(results[0][0], results[1][0])
        assert results[0][1] == results[1][1], hook


def check_masks():
    """Gradient through both factors, one mask for all channels, in [0, 1]."""
    masks = masker()
    mask = ops.convert_to_numpy(masks.mask(X))
    assert mask.shape == (48, 12, 12, 1) and mask.min() >= 0 and mask.max() <= 1
    np.testing.assert_array_equal(ops.convert_to_numpy(masks(X)), X * mask)


check_masks()
check_that_the_classifier_is_left_alone()
check_what_the_classifier_sees()
check_that_the_live_classifier_counts()
check_a_classifier_with_masks()
check_an_error_in_the_pass()
check_resuming()
check_that_a_crash_leaves_nothing_behind()
