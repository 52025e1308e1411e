import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_check import check_layer

from keras_maskdef import RandomGridMask, VotingEnsemble

POOLINGS = ("majority", "mean", "geometric")


def images(count=6, seed=0):
    return np.random.default_rng(seed).random((count, 8, 8, 1)).astype("float32")


def sequential(activation=None, classes=3):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation, kernel_initializer="random_normal"),
        ]
    )


class Subclassed(keras.Model):
    def __init__(self, classes=3):
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(classes)

    def call(self, inputs):
        return self.dense(self.flatten(inputs))


def functional():
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, sequential()(inputs))


def called(model):
    """The model after it was called on a symbolic image, inside another."""
    inputs = keras.Input((8, 8, 1))
    keras.Model(inputs, model(inputs))
    return model


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


class Given(keras.layers.Layer):
    """A classifier that reads its answer off the first row of pixels."""

    def call(self, inputs):
        return inputs[:, 0, :, 0]


def ask(outputs, pooling, from_logits):
    """Pools given outputs (views, batch, classes) through the public method."""
    mask = RandomGridMask(1)
    ensemble = VotingEnsemble(Given(), mask, pooling=pooling, from_logits=from_logits)
    return np.array(ensemble.pool(np.asarray(outputs, "float32")))


def test_layer_check():
    arguments = {
        "classifier": sequential(),
        "mask": RandomGridMask(2, sampling="partition", seed=1),
        "votes": 4,
        "pooling": "geometric",
        "train_mask": RandomGridMask(4, 0.5, seed=2),
        "from_logits": True,
        "votes_per_pass": 3,
    }
    check_layer(VotingEnsemble, arguments, (8, 8, 1), labels=3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(2, 5),
    st.booleans(),
    st.sampled_from(POOLINGS),
    st.integers(0, 2**32 - 1),
)
def test_pooling_equals_its_definition(views, batch, classes, logits, pooling, seed):
    outputs = np.random.default_rng(seed).normal(0, 4, (views, batch, classes))
    shares = softmax(outputs)
    pooled = ask(outputs if logits else shares, pooling, logits)
    if pooling == "majority":
        votes = np.eye(classes)[shares.argmax(-1)].sum(0)
        # Whole votes decide; the mean only among equals.
        rank = votes + 0.5 * shares.mean(0)
        np.testing.assert_array_equal(pooled.argmax(-1), rank.argmax(-1))
        expected = np.maximum(votes / views, 1e-7 if logits else 0)
    elif pooling == "mean":
        expected = shares.mean(0)
    else:
        expected = np.exp(np.log(shares).mean(0))
        expected /= expected.sum(-1, keepdims=True)
    got = np.exp(pooled) if logits else pooled
    np.testing.assert_allclose(got, expected, atol=3e-6)
    np.testing.assert_allclose(got.sum(-1), 1, atol=3e-6)


def test_ties_go_to_the_larger_mean_probability():
    """Two votes for class 1 and two for class 2, which is surer of itself."""
    one, two = [[0.0, 0.6, 0.4]], [[0.1, 0.0, 0.9]]
    pooled = ask([one, one, two, two], "majority", False)
    np.testing.assert_allclose(pooled, [[0, 0.5, 0.5]], atol=2e-6)
    assert pooled.argmax() == 2
    logits = np.log(np.maximum([one, one, two, two], 1e-9))
    assert ask(logits, "majority", True).argmax() == 2
    # A tie that only the last bits of the mean decide.
    close = [[[0.5 + 2e-7, 0.5 - 2e-7]], [[0.5 - 1e-7, 0.5 + 1e-7]]]
    assert ask(close, "majority", False).argmax() == 0


def test_geometric_pooling_is_one_view_away_from_a_veto():
    outputs = [[[0.0, 5.0]], [[0.0, 5.0]], [[60.0, 0.0]]]
    assert ask(outputs, "mean", True).argmax() == 1
    assert ask(outputs, "geometric", True).argmax() == 0


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("votes_per_pass", [None, 1, 2, 9])
def test_inference_pools_masked_views(pooling, votes_per_pass):
    """The same by hand, one view after the other."""
    classifier, x = sequential(), images()
    ensemble = VotingEnsemble(
        classifier,
        RandomGridMask(2, 0.5, seed=3),
        pooling=pooling,
        votes_per_pass=votes_per_pass,
    )
    mask = RandomGridMask(2, 0.5, seed=3)
    keep = mask.sample(x, views=5)
    outputs = [classifier(mask.apply(x, k), training=False) for k in keep]
    expected = ask(outputs, pooling, True)
    np.testing.assert_allclose(ensemble(x), expected, rtol=1e-4, atol=1e-5)


def test_training_sees_one_view_through_the_training_mask():
    classifier, x = sequential(), images()
    train_mask = RandomGridMask(4, 0.5, seed=5)
    ensemble = VotingEnsemble(classifier, RandomGridMask(2), train_mask=train_mask)
    output = ensemble(x, training=True)
    masked = RandomGridMask(4, 0.5, seed=5)(x)
    np.testing.assert_allclose(
        output, classifier(masked, training=True), rtol=1e-5, atol=1e-6
    )


def test_a_mask_for_inference_only_trains_on_whole_images():
    classifier, x = sequential(), images()
    ensemble = VotingEnsemble(classifier, RandomGridMask(2, active="inference"))
    np.testing.assert_allclose(
        ensemble(x, training=True), classifier(x, training=True), rtol=1e-5, atol=1e-6
    )


def test_inference_leaves_batch_statistics_alone():
    classifier = sequential()
    before = [v.numpy() for v in classifier.variables]
    VotingEnsemble(classifier, RandomGridMask(2))(images())
    for a, b in zip(before, classifier.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_majority_has_the_gradient_of_the_mean(pooling, activation):
    """And no pooling blinds an attack: its gradient is finite and not zero."""
    classifier, x = sequential(activation), tf.constant(images())

    def gradient(pooling):
        mask = RandomGridMask(2, 0.5, seed=1)
        ensemble = VotingEnsemble(classifier, mask, pooling=pooling)
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = ensemble(x, training=False)
            loss = keras.losses.sparse_categorical_crossentropy(
                np.zeros(6), output, from_logits=activation is None
            )
        return tape.gradient(loss, x).numpy()

    found = gradient(pooling)
    assert np.isfinite(found).all()
    assert (np.abs(found).reshape(6, -1).max(-1) > 0).all()
    if pooling == "majority" and activation is None:
        # The loss's softmax sees other values, so only directions compare.
        reference = gradient("mean").reshape(6, -1)
        assert (found.reshape(6, -1) * reference).sum() > 0


@pytest.mark.long
@pytest.mark.parametrize("build", [sequential, functional, Subclassed])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_compile_fit_evaluate_predict(build, pooling):
    x, y = images(32), np.arange(32) % 3
    ensemble = VotingEnsemble(
        build(), RandomGridMask(2, 0.25), pooling=pooling, from_logits=True
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ensemble.compile("adam", loss, metrics=["accuracy"])
    history = ensemble.fit(x, y, epochs=2, validation_data=(x, y), verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    assert np.isfinite(ensemble.evaluate(x, y, verbose=0)).all()
    assert ensemble.predict(x, verbose=0).shape == (32, 3)


@pytest.mark.long
def test_under_xla():
    """Keras' default on a GPU: the same vote, on XLA's own random stream."""
    x, y = images(32), np.arange(32) % 3
    ensemble = VotingEnsemble(sequential(), RandomGridMask(2, 0.0), votes=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ensemble.compile("sgd", loss, jit_compile=True)
    expected = ensemble(x)
    np.testing.assert_allclose(
        ensemble.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5
    )
    assert np.isfinite(ensemble.fit(x, y, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    ("classifier", "expected"),
    [
        (sequential(), True),
        (sequential("softmax"), False),
        (functional(), True),
        (keras.Sequential([sequential(), keras.layers.Softmax()]), False),
        (keras.Sequential([sequential(), keras.layers.Activation("softmax")]), False),
        (VotingEnsemble(sequential("softmax"), RandomGridMask(2)), False),
        (called(VotingEnsemble(sequential(), RandomGridMask(2))), True),
        (sequential("relu"), None),
        (Subclassed(), None),
    ],
)
def test_logits_or_probabilities_are_read_off_the_last_layer(classifier, expected):
    if expected is None:
        with pytest.raises(ValueError, match="`from_logits` must be given"):
            VotingEnsemble(classifier, RandomGridMask(2))
    else:
        ensemble = VotingEnsemble(classifier, RandomGridMask(2))
        assert ensemble.from_logits is expected
    assert VotingEnsemble(classifier, RandomGridMask(2), from_logits=True).from_logits


def test_one_vote_without_mask_is_the_classifier():
    classifier, x = sequential("softmax"), images()
    ensemble = VotingEnsemble(
        classifier, RandomGridMask(2, 0.0), votes=1, pooling="mean"
    )
    np.testing.assert_allclose(ensemble(x), classifier(x), rtol=1e-5)


def test_nan_images_give_nan_not_a_class():
    x = images()
    x[0] = np.nan
    output = np.array(VotingEnsemble(sequential(), RandomGridMask(2, 0.0))(x))
    assert np.isnan(output[0]).all()
    assert np.isfinite(output[1:]).all()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_empty_batch(pooling):
    ensemble = VotingEnsemble(sequential(), RandomGridMask(2), pooling=pooling)
    assert ensemble(images(0)).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"votes": 0}, ValueError, "`votes` .* from 1 to 10000. Received: votes=0"),
        ({"votes": 1.5}, ValueError, "Received: votes=1.5"),
        ({"votes_per_pass": -1}, ValueError, "Received: votes_per_pass=-1"),
        ({"votes_per_pass": 0}, ValueError, "Received: votes_per_pass=0"),
        ({"pooling": "median"}, ValueError, "one of 'majority'.* pooling='median'"),
        ({"mask": keras.layers.Dropout(0.5)}, TypeError, "`mask` must be a RandomG"),
        ({"train_mask": 3}, TypeError, "`train_mask` must be a RandomGridMask"),
        ({"classifier": np.sum}, TypeError, "`classifier` must be a Keras model"),
        (
            {"mask": RandomGridMask(2, active="training")},
            ValueError,
            "active in inference.*mask.active='training'",
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    good = {"classifier": sequential(), "mask": RandomGridMask(2)}
    with pytest.raises(error, match=message):
        VotingEnsemble(**{**good, **arguments})


def test_a_classifier_must_return_batch_and_classes():
    maps = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 3)])
    ensemble = VotingEnsemble(maps, RandomGridMask(2))
    with pytest.raises(ValueError, match=r"\(batch, classes\). Received: classifier="):
        ensemble(images())
    inputs = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(inputs)
    two = keras.Model(
        inputs, [keras.layers.Dense(3)(flat), keras.layers.Dense(3)(flat)]
    )
    with pytest.raises(ValueError, match=r"\(batch, classes\)"):
        VotingEnsemble(two, RandomGridMask(2), from_logits=True)(images())


def test_bad_images():
    ensemble = VotingEnsemble(sequential(), RandomGridMask(2))
    with pytest.raises(TypeError, match="dtype=uint8"):
        ensemble(images().astype("uint8"))
    with pytest.raises(TypeError, match="dtype=uint8"):
        ensemble(keras.Input((8, 8, 1), dtype="uint8"))
