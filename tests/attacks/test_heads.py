"""The same weights give the same figures, whatever the head and the number format."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_maskdef as kmd
from keras_maskdef.attacks import Target, craft, expectation_over_masks
from keras_maskdef.baselines import GaussianVote
from keras_maskdef.core.logits import look_through
from keras_maskdef.evaluation import AttackSetting, Defence, evaluate
from keras_maskdef.evaluation.frozen import frozen_masks
from keras_maskdef.layers.pooling import POOLINGS, pool

SHAPE, CLASSES = (10, 10, 1), 5
IMAGES = np.random.default_rng(1).uniform(0.25, 0.75, (12, *SHAPE)).astype("float32")


def network(scale=60.0, activation=None, dtype="float32"):
    """Curved; at a scale of 60 classes are 24 to 350 apart."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE, dtype="float32"),
            keras.layers.Conv2D(4, 3, activation="tanh", dtype=dtype),
            keras.layers.Flatten(dtype=dtype),
            keras.layers.Dense(CLASSES, activation=activation, dtype=dtype),
        ]
    )
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.4, w.shape) for w in model.get_weights()]
    weights[2] *= scale
    model.set_weights(weights)
    return model


def of_functions(scale=60.0):
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, ops.softmax(network(scale)(inputs)))


def passed_on(scale=60.0):
    inner = keras.Sequential([network(scale), keras.layers.Softmax()])
    linear = keras.layers.Activation("linear", dtype="float32")
    return keras.Sequential([inner, keras.layers.Dropout(0.5), linear])


class Subclassed(keras.Model):
    """Nobody can see its softmax."""

    from_logits = False

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.built = True

    def call(self, images, training=None):
        return ops.softmax(self.inner(images, training=training))

    def compute_output_shape(self, shape):
        return (shape[0], CLASSES)


HEADS = {
    "dense": lambda scale=60.0: network(scale, "softmax"),
    "layer": lambda scale=60.0: keras.Sequential(
        [network(scale), keras.layers.Softmax()]
    ),
    "activation": lambda scale=60.0: keras.Sequential(
        [network(scale), keras.layers.Activation("softmax")]
    ),
    "function": of_functions,
    "passed on": passed_on,
}
LABELS = np.asarray(network()(IMAGES)).argmax(-1)


def mask(**options):
    return kmd.RandomGridMask(2, 0.5, seed=5, **options)


def votes(pooling):
    return lambda model: kmd.VotingEnsemble(model, mask(), votes=3, pooling=pooling)


def behind_a_filter(model):
    return kmd.defend(model, filters=[kmd.MedianFilter(2)])


def frozen(model):
    vote = votes("geometric")(model)
    vote.build((None, *SHAPE))
    return frozen_masks(vote, SHAPE)


def past(model):
    return Defence.behind(lambda images: np.round(images * 4) / 4, model).white_box[0]


def expected(model):
    return expectation_over_masks(votes("majority")(model), 4)


def expected_of_masked(model):
    inputs = keras.Input(SHAPE)
    return expectation_over_masks(keras.Model(inputs, model(mask()(inputs))), 4)


DEFENCES = {
    "bare": lambda model: model,
    **{pooling: votes(pooling) for pooling in POOLINGS},
    "noise": lambda model: GaussianVote(model, 0.05, votes=3, seed=1),
    "filter": behind_a_filter,
    "frozen": frozen,
    "past": past,
    "expected": expected,
    "expected of masked": expected_of_masked,
}
ATTACKS = {
    "fgsm linf": {},
    "bim linf": {"steps": 4},
    "mim linf": {"steps": 4},
    "deepfool l2": {"steps": 4},
    "deepfool linf": {"steps": 4},
    "cw l2": {"steps": 5, "binary_search_steps": 1},
    "apgd linf": {"steps": 5},
    "apgd-dlr linf": {"steps": 5},
    "square linf": {"steps": 10},
}


def attacked(attack, make_defence, classifier, value_range=(0, 1)):
    keras.utils.set_random_seed(3)
    name, norm = attack.split()
    low, high = value_range
    images = low + (high - low) * IMAGES
    return craft(
        name,
        make_defence(classifier),
        images,
        LABELS,
        0.2 * (high - low),
        norm,
        value_range=value_range,
        **ATTACKS[attack],
    )


@pytest.mark.parametrize("head", HEADS)
def test_a_softmax_is_looked_through(head):
    model = HEADS[head]()
    layers = list(model._flatten_layers())
    nodes = [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in layers]
    logits = look_through(model)(IMAGES)
    np.testing.assert_array_equal(logits, network()(IMAGES))
    assert [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in layers] == nodes


def test_what_is_no_plain_softmax_is_not_looked_through():
    class Tempered(keras.layers.Dense):
        def call(self, inputs):
            return super().call(2.0 * inputs)

    def behind(layer):
        return keras.Sequential([keras.Input((4,)), layer])

    class Softmax(keras.layers.Softmax):
        def call(self, inputs, mask=None):
            return super().call(2.0 * inputs, mask)

    class Activation(keras.layers.Activation):
        def call(self, inputs):
            return super().call(2.0 * inputs)

    class Darkened(keras.Sequential):
        def call(self, inputs, training=None, mask=None):
            return super().call(0.5 * inputs)

    middle = keras.layers.Softmax(axis=1)
    grid = [keras.Input((4, 4)), middle, keras.layers.Flatten()]
    quantized = behind(keras.layers.Dense(4, activation="softmax"))
    quantized.layers[-1].quantize("int8")
    for model in (
        network(),
        Subclassed(network()),
        behind(Tempered(3, activation="softmax")),
        behind(Softmax()),
        behind(Activation("softmax")),
        Darkened([keras.Input((4,)), keras.layers.Softmax()]),
        behind(keras.layers.Dense(4, activation="sigmoid")),
        keras.Sequential(grid),
        quantized,
    ):
        assert look_through(model) is None


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_see_the_logits(attack):
    assert np.abs(attacked(attack, DEFENCES["bare"], network()) - IMAGES).max() > 0
    for make_head in HEADS.values():
        np.testing.assert_array_equal(
            attacked(attack, DEFENCES["bare"], make_head()),
            attacked(attack, DEFENCES["bare"], network()),
        )


@pytest.mark.parametrize("attack", ["bim linf", "deepfool l2", "square linf"])
@pytest.mark.parametrize("defence", DEFENCES)
def test_attacks_see_the_logits_of_defences(attack, defence):
    np.testing.assert_array_equal(
        attacked(attack, DEFENCES[defence], HEADS["dense"]()),
        attacked(attack, DEFENCES[defence], network()),
    )


@pytest.mark.parametrize("defence", ["bare", "geometric", "expected"])
def test_attacks_see_the_logits_in_other_ranges(defence):
    np.testing.assert_array_equal(
        attacked("bim linf", DEFENCES[defence], HEADS["dense"](), (0, 255)),
        attacked("bim linf", DEFENCES[defence], network(), (0, 255)),
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_votes_are_pooled_from_the_logits(pooling):
    images = np.repeat(IMAGES, 8, axis=0)
    labels = [
        kmd.predict(votes(pooling)(model), images, seed=1)
        for model in (network(), HEADS["dense"](), HEADS["layer"]())
    ]
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[0], labels[2])
    logits, shares = (
        votes(pooling)(model).predict(images, verbose=0)
        for model in (network(), HEADS["dense"]())
    )
    np.testing.assert_allclose(tf.nn.softmax(logits), shares, atol=1e-6)


def test_votes_follow_their_classifier():
    model = HEADS["dense"](1.0)
    vote = votes("mean")(model)
    vote(IMAGES)
    keep = vote.mask.sample(IMAGES, views=3)
    model.layers[-1].quantize("int8")
    pooled = vote.pool_logits(vote.logits_of_views(IMAGES, keep))
    np.testing.assert_allclose(
        pooled, np.mean(vote.view_outputs(IMAGES, keep), axis=0), atol=1e-5
    )
    model.pop()
    model.add(keras.layers.Dense(7, activation="softmax"))
    assert vote(IMAGES).shape == (12, 7)


def test_sigmoids_are_not_made_to_sum_to_one():
    model = network(1.0, "sigmoid")
    vote = kmd.VotingEnsemble(model, mask(), 3, "mean", from_logits=False)
    keep = vote.mask.sample(IMAGES, views=3)
    pooled = vote.pool_logits(vote.logits_of_views(IMAGES, keep))
    outputs = np.mean(vote.view_outputs(IMAGES, keep), axis=0)
    np.testing.assert_allclose(pooled, outputs, rtol=1e-5)


def test_small_probabilities_are_pooled_as_they_are():
    shares = np.array([[[1 - 1e-5, 1e-12, 1e-5]], [[1e-12, 1 - 1e-5, 1e-5]]])
    found = pool(shares.astype("float32"), "geometric", from_logits=False)
    by_hand = np.exp(np.log(shares).mean(0))
    np.testing.assert_allclose(found, by_hand / by_hand.sum(), rtol=1e-4)


def test_what_cannot_be_seen_is_attacked_by_logarithms():
    """As far as float32 has numbers for it: classes here are up to 80 apart."""
    ordinary = network(9.0)
    top = np.sort(np.asarray(ordinary(IMAGES)), axis=-1)
    assert 17 < (top[:, -1] - top[:, 0]).max() < 87
    for attack in ("bim linf", "deepfool l2"):
        found = attacked(attack, DEFENCES["bare"], Subclassed(network(9.0)))
        expected = attacked(attack, DEFENCES["bare"], ordinary)
        # But for signs of what rounds to zero on one way.
        assert np.mean(np.abs(found - expected) > 2e-3) < 0.03


def gradients(model):
    """By the cross entropy, and by a logit, as attacks with own losses take it."""
    target = Target(model)
    _, by_loss = target.loss_gradient(IMAGES, LABELS)
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        losses = ops.sparse_categorical_crossentropy(
            LABELS, target.logits(images), from_logits=True
        )
    found = np.asarray(by_loss), np.asarray(tape.gradient(losses, images))
    return [each.reshape(len(IMAGES), -1) for each in found]


@pytest.mark.parametrize("head", [None, "softmax"])
@pytest.mark.parametrize("defence", ["bare", "geometric", "filter", "frozen", "past"])
def test_gradients_do_not_underflow_in_half_precision(defence, head):
    """Where float16 itself has next to nothing of them."""
    make = DEFENCES[defence]
    ordinary = gradients(make(network(12.0)))
    half = gradients(make(network(12.0, head, "mixed_float16")))
    for expected, found in zip(ordinary, half, strict=True):
        assert 0 < np.abs(expected).max(1).min() < 1e-5
        lengths = [np.linalg.norm(x, axis=1) for x in (found, expected)]
        cosines = np.sum(found * expected, axis=1) / np.prod(lengths, axis=0)
        assert cosines.min() > 0.9
        assert np.median(cosines) > 0.99


def test_a_gradient_that_grows_is_finite_in_half_precision():
    """By 1 / p of a thousand classes, or on its way through steep weights."""
    inputs = keras.Input(SHAPE, dtype="float32")
    dense = keras.layers.Dense(1000, activation="softmax", dtype="mixed_float16")
    shares = ops.cast(dense(keras.layers.Flatten()(inputs)), "float32")
    hidden = keras.Model(inputs, ops.multiply(1.0, shares))
    steep = network(2000.0, dtype="mixed_float16")
    for model in (hidden, steep):
        wrong = (np.asarray(model(IMAGES)).argmax(-1) + 1) % CLASSES
        _, gradient = Target(model).loss_gradient(IMAGES, wrong)
        assert np.isfinite(gradient).all()
        assert np.asarray(gradient).any(axis=(1, 2, 3)).all()


def test_probabilities_in_half_precision_are_refused_by_name():
    half = Subclassed(network(3.0, dtype="mixed_float16"))
    filtered = keras.Sequential([keras.Input(SHAPE), kmd.MedianFilter(2), half])
    for model in (half, votes("mean")(half), expected(half), filtered):
        with pytest.raises(ValueError, match="`model` must return logits.* float16"):
            craft("fgsm", model, IMAGES, LABELS, 0.1)
    assert votes("mean")(half).predict(IMAGES, verbose=0).shape == (12, CLASSES)


class Stairs(keras.layers.Layer):
    def call(self, images):
        return ops.round(images * 4) / 4


@pytest.mark.parametrize("is_blind", [True, False])
def test_images_without_a_gradient_are_warned_of(is_blind):
    layers = [Stairs()] if is_blind else []
    model = keras.Sequential([keras.Input(SHAPE), *layers, network(1.0)])
    labels = model.predict(IMAGES, verbose=0).argmax(-1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = evaluate(
            model,
            (IMAGES, labels),
            [AttackSetting("fgsm", "linf", 0.1)],
            eot_samples=(1,),
        )
    names = {warning.category.__name__ for warning in caught}
    assert ("ZeroGradientWarning" in names) == is_blind
    told = {each["name"] for each in report.warnings}
    assert ("ZeroGradientWarning" in told) == is_blind


def alternated(classifier):
    keras.utils.set_random_seed(0)
    network = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")
    masker = kmd.SparseFeatureMasker(keras.Sequential([keras.Input(SHAPE), network]))
    from_logits = classifier.layers[-1].activation is keras.activations.linear
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits)
    classifier.compile(keras.optimizers.SGD(0.0), loss)
    callback = kmd.AlternatingTraining(masker, IMAGES, batch_size=4, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        history = classifier.fit(
            IMAGES, LABELS, epochs=2, shuffle=False, callbacks=[callback], verbose=0
        )
    return history.history["masker_semantic"], masker.get_weights()


def test_a_masker_is_trained_by_the_logits():
    losses, weights = alternated(network(3.0))
    for classifier, near in (
        (network(3.0, "softmax"), {"atol": 1e-6}),
        (network(3.0, dtype="mixed_float16"), {"atol": 2e-3}),
    ):
        same_losses, same_weights = alternated(classifier)
        np.testing.assert_allclose(same_losses, losses, **near)
        for found, wanted in zip(same_weights, weights, strict=True):
            np.testing.assert_allclose(found, wanted, **near)
