"""A training on two replicas in one process; run by its own test.

MirroredStrategy over two logical CPUs, against the same training on one device. With
`all` as its argument it checks validation, refusals and resuming, too.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import keras_maskdef as kmd
from keras_maskdef.backend.replicas import STRIDE

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
RANDOM = np.random.default_rng(0)
X = RANDOM.random((24, 12, 12, 1)).astype("float32")
Y = np.arange(24) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def scope(replicas):
    return STRATEGY.scope() if replicas == 2 else contextlib.nullcontext()


def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.Conv2D(3, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def compiled(model):
    model.compile(keras.optimizers.SGD(0.1), LOSS, metrics=["accuracy"])
    return model


def values(*models):
    return [ops.convert_to_numpy(v) for model in models for v in model.weights]


def close(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def as_on_replica(mask, replica):
    """The cells that a replica draws, from a generator of Keras in one process."""
    generator = keras.random.SeedGenerator(mask.seed + replica * STRIDE)
    return lambda images, **options: mask.sample(images, seed=generator, **options)


def check_the_masks_of_replicas():
    """Other masks on each, the first replica's as in a single process."""
    for options in (
        {},
        {"mask_rate": (0.2, 0.8)},
        {"sampling": "partition"},
        {"sampling": "fixed_count"},
    ):
        with scope(2):
            mask = kmd.RandomGridMask(2, seed=7, **options)
        alone = kmd.RandomGridMask(2, seed=7, **options)
        by_hand = [as_on_replica(alone, replica) for replica in range(2)]

        @tf.function
        def draw(mask=mask):
            return STRATEGY.run(lambda: mask.sample(X[:3], views=2))

        for _ in range(2):
            drawn = [
                value.numpy() for value in STRATEGY.experimental_local_results(draw())
            ]
            assert (drawn[0] != drawn[1]).any()
            np.testing.assert_array_equal(drawn[0], alone.sample(X[:3], views=2))
            for replica in range(2):
                expected = by_hand[replica](X[:3], views=2)
                np.testing.assert_array_equal(drawn[replica], expected)


def check_predictions():
    """Two halves of a batch, each seen through the masks of its replica."""
    with scope(2):
        mask = kmd.RandomGridMask(2, 0.5, seed=7)
        vote = kmd.VotingEnsemble(network(), mask, votes=3, pooling="mean")
    outputs = vote.predict(X[:8], batch_size=8, verbose=0)
    expected = [
        vote.pool(vote.view_outputs(half, as_on_replica(mask, replica)(half, views=3)))
        for replica, half in enumerate((X[:4], X[4:8]))
    ]
    close([outputs], [np.concatenate(expected)])
    # XLA draws by another algorithm, and compiles once for each replica.
    with scope(2):
        model = keras.Sequential([keras.Input((12, 12, 1)), mask])
        model.compile(jit_compile=True)
    masks = model.predict(np.ones((8, 12, 12, 1)), batch_size=8, verbose=0)
    assert (masks[:4] != masks[4:]).any(axis=(1, 2, 3)).all()


def check_a_training_under_random_masks():
    """The masks of both replicas, drawn by hand, on one device."""
    with scope(2):
        mask = kmd.RandomGridMask(2, 0.5, seed=7)
        bare = network()
        vote = compiled(kmd.VotingEnsemble(bare, mask))
    vote.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    hand = compiled(network())
    draw = [as_on_replica(mask, replica) for replica in range(2)]
    for start in 2 * list(range(0, 24, 8)):
        halves = [X[start : start + 4], X[start + 4 : start + 8]]
        seen = [
            mask.apply(half, draw[replica](half)) for replica, half in enumerate(halves)
        ]
        hand.train_on_batch(np.concatenate(seen), Y[start : start + 8])
    close(values(bare), values(hand))


def tiny_masker(normalized=False):
    keras.utils.set_random_seed(2)
    layers = [keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")]
    if normalized:
        layers.insert(0, keras.layers.BatchNormalization())
    return kmd.SparseFeatureMasker(
        keras.Sequential([keras.Input((12, 12, 1)), *layers])
    )


def alternation(replicas, data=X, callbacks=(), model=None, epochs=2, **options):
    """Trains a classifier in turn with a masker; both, and the history."""
    normalized = options.pop("normalized", False)
    with scope(replicas):
        classifier = compiled(model or network())
        masker = tiny_masker(normalized)
    # Made anywhere: its optimizer gets into the scope by itself.
    options = {"optimizer": keras.optimizers.Adam(0.05), "batch_size": 8, **options}
    callback = kmd.AlternatingTraining(masker, data, **options)
    history = classifier.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        callbacks=[*callbacks, callback],
        verbose=0,
    ).history
    return classifier, masker, history


def in_step(masker):
    for variable in masker.weights:
        first, second = STRATEGY.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first, second)


def check_the_alternating_callback(**options):
    """The same training on one device."""
    alone, masker, history = alternation(1, **options)
    both, mirrored, together = alternation(2, **options)
    close(values(alone), values(both))
    close(values(masker), values(mirrored))
    # Of an uneven batch, Keras logs the mean over replicas.
    for name in history.keys() - {"val_masker_loss"}:
        np.testing.assert_allclose(history[name], together[name], rtol=1e-4)
    in_step(mirrored)
    assert (values(tiny_masker())[0] != values(mirrored)[0]).any()


def check_uneven_data_and_statistics():
    """Only whole batches; Keras would leave each replica its own running means."""
    classifier, masker, history = alternation(2, data=X[:21], normalized=True)
    assert np.isfinite(history["masker_loss"]).all()
    in_step(masker)


def check_a_vote_in_the_masker_s_loss():
    """A classifier with masks of its own draws new ones in each step of a pass."""
    with scope(2):
        mask = kmd.RandomGridMask(2, 0.5, seed=7)
        vote = kmd.VotingEnsemble(network(), mask, votes=2, pooling="mean")
        vote.build((None, 12, 12, 1))
    alternation(2, model=vote, epochs=1)


def check_what_cannot_be():
    for message, options in {
        'use norms="image"': {"norms": "batch"},
        "multiple of the number of replicas": {"batch_size": 7},
        "at most the number of images": {"data": X[:6]},
        "optimizer` has trained already": {"optimizer": network_trained().optimizer},
    }.items():
        with refused(message):
            alternation(2, **options)
    outside = tiny_masker()
    with scope(2):
        classifier = compiled(network())
    with refused("must be made under `strategy.scope()`"):
        callback = kmd.AlternatingTraining(outside, X, batch_size=8)
        classifier.fit(X, Y, callbacks=[callback], verbose=0)


def network_trained():
    model = compiled(network())
    model.fit(X, Y, epochs=1, verbose=0)
    return model


@contextlib.contextmanager
def refused(message):
    try:
        yield
    except ValueError as error:
        assert message in str(error) and "Received: " in str(error), error
    else:
        raise AssertionError(f"not refused: {message}")


class Crash(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def check_resuming():
    expected = alternation(2, epochs=3)[:2]
    with tempfile.TemporaryDirectory() as folder:

        def training(*more):
            backup = keras.callbacks.BackupAndRestore(Path(folder) / "classifier")
            masker = Path(folder) / "masker"
            return alternation(
                2, callbacks=[backup, *more], epochs=3, backup_dir=masker
            )[:2]

        with contextlib.suppress(KeyboardInterrupt):
            training(Crash())
        names = sorted(path.name for path in (Path(folder) / "masker").iterdir())
        assert names == [f"masker-after-epoch-{epoch}.npz" for epoch in range(2)]
        close(values(*expected), values(*training()))


check_the_masks_of_replicas()
check_a_training_under_random_masks()
check_the_alternating_callback(preprocessing=kmd.MedianFilter(2), train_on="masked")
if sys.argv[1:] == ["all"]:
    check_predictions()
    check_the_alternating_callback(validation_data=(X[:21], Y[:21]))
    check_uneven_data_and_statistics()
    check_a_vote_in_the_masker_s_loss()
    check_what_cannot_be()
    check_resuming()
