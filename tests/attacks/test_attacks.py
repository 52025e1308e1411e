import builtins
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_maskdef import RandomGridMask, VotingEnsemble, datasets
from keras_maskdef.attacks import (
    AttackInfo,
    Target,
    available,
    craft,
    describe,
    expectation_over_masks,
    prepare,
)
from keras_maskdef.attacks.registry import REGISTRY

SIZES = {"l1": 20.0, "l2": 2.0, "linf": 0.2}
ORDERS = {"l1": 1, "l2": 2, "linf": np.inf}
# Fewer steps where the defaults take minutes.
QUICK = {
    "cw": {"steps": 20, "binary_search_steps": 2, "initial_const": 5.0},
    "square": {"steps": 60},
    "hopskipjump": {"steps": 3},
    "apgd": {"steps": 10},
    "apgd-dlr": {"steps": 10},
}


@pytest.fixture(scope="module")
def digits():
    images, labels, _ = datasets.sample("test[:40]")
    return images, labels


@pytest.fixture(scope="module")
def target(classifier):
    return Target(classifier)


@pytest.fixture(scope="module")
def grey(classifier, digits):
    """CW's steps are small near black and white: hundreds before it moves a digit."""
    rescaling = keras.layers.Rescaling(2.0, offset=-0.5)
    return keras.Sequential([rescaling, classifier]), 0.25 + 0.5 * digits[0]


def accuracy(model, images, labels):
    return np.mean(model.predict(images, verbose=0).argmax(-1) == labels)


@pytest.mark.parametrize(("name", "norm", "library"), REGISTRY)
def test_attacks_stay_in_their_ball_and_beat_noise(
    classifier, target, digits, grey, name, norm, library
):
    images, labels = digits
    if name == "cw":
        classifier, images = grey
        target = Target(classifier)
    if name == "hopskipjump":  # one image after the other
        images, labels = images[:20], labels[:20]
    epsilon, options = SIZES[norm], QUICK.get(name, {})
    adversarial = craft(
        name, target, images, labels, epsilon, norm, library=library, **options
    )
    assert adversarial.shape == images.shape
    assert adversarial.dtype == "float32"
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    change = (adversarial.astype("float64") - images).reshape(len(images), -1)
    sizes = np.linalg.norm(change, ORDERS[norm], axis=1)
    assert sizes.max() <= epsilon * (1 + 1e-6)
    if name != "noise":
        noisy = craft("noise", target, images, labels, epsilon, norm)
        fooled = accuracy(classifier, adversarial, labels)
        assert fooled <= accuracy(classifier, noisy, labels) - 0.05


def test_batches_are_reported_and_seeded_by_their_first_image(target, digits):
    images, labels = digits
    done = []
    whole = craft(
        "pgd", target, images, labels, 0.1, "linf", 25, seed=7, on_batch=done.append
    )
    assert done == [25, 15]
    second = craft("pgd", target, images[25:], labels[25:], 0.1, seed=7 + 25)
    np.testing.assert_array_equal(whole[25:], second)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("pgd", "l2"), ("deepfool", "linf"), ("noise", "l1"), ("square", "linf")],
)
def test_several_sizes_are_single_calls(target, digits, name, norm):
    images, labels = (d[:8] for d in digits)
    sizes = [SIZES[norm] / 4, SIZES[norm]]
    options = {"steps": 5} if name != "noise" else {}
    several = craft(name, target, images, labels, sizes, norm, 5, **options)
    assert several.shape == (2, *images.shape)
    for size, made in zip(sizes, several, strict=True):
        single = craft(name, target, images, labels, size, norm, 5, **options)
        np.testing.assert_array_equal(made, single)


def test_a_prepared_attack_is_what_craft_calls(target, digits):
    attack = prepare("mim", target, steps=3)
    assert attack.info == AttackInfo(
        "mim",
        "linf",
        "cleverhans",
        "iterative",
        options=("steps", "step_size"),
        backends=("tensorflow",),
    )
    np.testing.assert_array_equal(
        attack(*digits, [0.1], seed=0)[0], craft("mim", target, *digits, 0.1, steps=3)
    )


def test_what_is_known_of_attacks():
    names = available()
    assert names == sorted(set(names))
    assert len(names) == 27
    assert {name for name, norm in names if norm == "l1"} == {
        *("fgsm", "bim", "pgd", "apgd", "apgd-dlr", "noise")
    }
    assert {
        describe(n, m).library for n, m in names if n in ("fgsm", "bim", "pgd")
    } == {"foolbox"}
    assert describe("pgd", library="cleverhans").library == "cleverhans"
    kinds = {name: describe(name, norm).kind for name, norm in names}
    assert {name for name, kind in kinds.items() if kind == "minimal"} == {
        *("cw", "deepfool", "hopskipjump")
    }
    assert kinds["fgsm"] == "single-step"
    assert kinds["diverse"] == "iterative"
    assert {n for n, m in names if not describe(n, m).uses_gradient} == {
        *("square", "hopskipjump", "noise")
    }


def test_probabilities_are_attacked_as_logits(classifier, digits):
    """But for signs of gradients that round to zero on one way."""
    softmax = keras.Sequential([classifier, keras.layers.Softmax()])
    untold = keras.Sequential([classifier, keras.layers.Lambda(keras.ops.softmax)])
    dense = keras.layers.Dense(10, kernel_initializer="identity", use_bias=False)
    misleading = keras.Sequential([softmax, dense])
    expected = craft("fgsm", classifier, *digits, epsilon=0.1)
    for model in (
        softmax,
        untold,
        misleading,
        lambda images: tf.nn.softmax(classifier(images)),
    ):
        adversarial = craft("fgsm", model, *digits, epsilon=0.1)
        assert np.mean(np.abs(adversarial - expected) > 1e-6) < 0.01


class Views:
    """Two views of a model, the second one of darkened images."""

    def __init__(self, classifier):
        self.classifier = classifier

    def __call__(self, images):
        return tf.reduce_mean(self.view_logits(images), axis=0)

    def view_logits(self, images, training=False):
        views = [images, 0.5 * images]
        return tf.stack([self.classifier(view, training=training) for view in views])


def test_losses_are_averaged_over_views_not_logits(classifier, digits):
    images, labels = (tf.constant(d) for d in digits)
    views = Views(classifier)
    target = Target(views)
    loss = keras.losses.SparseCategoricalCrossentropy(True, reduction="sum")
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = views.view_logits(images)
        expected = (loss(labels, logits[0]) + loss(labels, logits[1])) / 2
    gradient = tape.gradient(expected, images)
    total, ours = target.loss_gradient(images, labels)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    np.testing.assert_allclose(ours, gradient, atol=1e-5)
    np.testing.assert_allclose(target.logits(images), views(images), atol=1e-5)
    crafted = [
        craft("fgsm", target, *digits, 0.1, library=library)
        for library in ("foolbox", "cleverhans")
    ]
    assert np.mean(np.abs(crafted[0] - crafted[1]) > 1e-6) < 0.001


def test_weights_of_a_target_may_change(digits):
    """Its calls are compiled, its weights are not."""
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    target = Target(model)
    before = target.logits(digits[0]).numpy()
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(target.logits(digits[0]), 2 * before, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("pgd", "foolbox"),
        ("pgd", "cleverhans"),
        ("diverse", None),
        ("apgd", None),
        ("square", None),
        ("hopskipjump", None),
        ("noise", None),
    ],
)
def test_seeds(target, digits, name, library):
    images, labels = (d[:8] for d in digits)
    steps = 2 if name == "hopskipjump" else 12
    options = {} if name == "noise" else {"steps": steps}
    first, again, other = (
        craft(name, target, images, labels, 0.1, seed=seed, library=library, **options)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_random_states_of_others_are_left_as_they_were(target, digits):
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    generator = np.random.RandomState  # noqa: NPY002
    images, labels = (d[:4] for d in digits)
    craft("apgd", target, images, labels, 0.1, steps=2)
    craft("square", target, images, labels, 1.0, norm="l2", steps=2)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert random.getstate() == before[1]
    assert np.random.RandomState is generator  # noqa: NPY002


def test_expectation_changes_nothing_on_a_deterministic_model(classifier):
    assert expectation_over_masks(classifier) is classifier
    with pytest.raises(ValueError, match="Received: samples=0"):
        expectation_over_masks(classifier, samples=0)


def test_expectation_over_masks_averages_fresh_masks(classifier, digits):
    """Its spread falls with the samples, wherever in the model the mask is."""
    images, mask = digits[0], RandomGridMask(7, 0.5, seed=1)
    inputs = keras.Input((28, 28, 1))
    vote = VotingEnsemble(classifier, mask, votes=1)
    for defence in (
        vote,
        keras.Sequential([inputs, mask, classifier]),
        keras.Model(inputs, vote(keras.layers.Rescaling(0.9)(inputs))),
    ):

        def spread(samples, defence=defence):
            model = expectation_over_masks(defence, samples)
            return np.array([model(images) for _ in range(12)]).std(0).mean()

        one, sixteen = spread(1), spread(16)
        assert one > 0
        assert sixteen < one / 2


def test_the_adaptive_attack_is_stronger(classifier, digits):
    images, labels = digits
    defence = VotingEnsemble(classifier, RandomGridMask(7, 0.25, seed=1))
    keras.utils.set_random_seed(0)
    knowing = craft("pgd", expectation_over_masks(defence, 4), images, labels, 0.15)
    noise = np.random.default_rng(0).choice([-0.15, 0.15], images.shape)
    noisy = np.clip(images + noise, 0, 1).astype("float32")
    fooled = accuracy(defence, knowing, labels)
    assert fooled < accuracy(defence, noisy, labels) - 0.2


@pytest.mark.parametrize("name", ["pgd", "mim", "apgd", "noise", "deepfool"])
def test_empty_batch(target, digits, name):
    images, labels = (d[:0] for d in digits)
    assert craft(name, target, images, labels, 0.1).shape == (0, 28, 28, 1)
    assert craft(name, target, images, labels, [0.1, 0.2]).shape == (2, 0, 28, 28, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "jsma"}, r"one of: apgd \(l1\), .*square.*Received: name='jsma'"),
        ({"name": "mim", "norm": "l1"}, "Received: name='mim', norm='l1'"),
        ({"library": "art"}, "foolbox, cleverhans for pgd .linf.*library='art'"),
        ({"restarts": 2}, "foolbox. has `steps`, `step_size`. Received: restarts=2"),
        ({"name": "fgsm", "steps": 2}, "has no options. Received: steps=2"),
        ({"steps": 0}, "`steps` must be .*Received: steps=0"),
        ({"step_size": -0.1}, "`step_size` must be .*Received: step_size=-0.1"),
        ({"name": "diverse", "probability": 2}, "Received: probability=2"),
        ({"images": np.full((2, 28, 28, 1), 255.0)}, "images.max.*=255.0"),
        ({"images": np.full((2, 28, 28, 1), -1.0)}, "give `value_range` where.*=-1.0"),
        ({"images": np.full((2, 28, 28, 1), np.nan)}, "without NaN"),
        ({"images": np.zeros((2, 28, 28, 1), "uint8")}, "images.dtype=uint8"),
        ({"images": np.zeros((2, 28, 28))}, r"images.shape=\(2, 28, 28\)"),
        ({"labels": np.zeros(3, int)}, r"labels.shape=\(3,\)"),
        ({"labels": np.zeros(2)}, "labels.dtype=float64"),
        ({"labels": np.array([0, 10])}, "labels.*from 0 to 9.*labels.max"),
        ({"labels": np.array([0, -1])}, "labels.min.*=-1"),
        ({"epsilon": 0}, "Received: epsilon=0"),
        ({"epsilon": float("nan")}, "Received: epsilon=nan"),
        ({"epsilon": [0.1, -1.0]}, "Received: epsilon=-1"),
        ({"epsilon": []}, r"Received: epsilon=\[\]"),
        ({"batch_size": 0}, "Received: batch_size=0"),
    ],
)
def test_bad_arguments(classifier, change, message):
    good = {
        "name": "pgd",
        "model": classifier,
        "images": np.zeros((2, 28, 28, 1)),
        "labels": np.zeros(2, int),
        "epsilon": 0.1,
    }
    with pytest.raises(ValueError, match=message):
        craft(**{**good, **change})


def test_bad_models(digits, monkeypatch):
    with pytest.raises(TypeError, match="Received: model='lenet'"):
        craft("fgsm", "lenet", *digits, 0.1)
    broken = lambda images: tf.sqrt(-tf.reduce_sum(images, (1, 2)) - 1.0) * [[1.0, 2.0]]  # noqa: E731
    with pytest.raises(ValueError, match="finite outputs.*Received: 2 of 2 images"):
        craft("fgsm", broken, digits[0][:2], np.array([0, 1]), 0.1, norm="l2")
    with pytest.raises(ValueError, match=r"outputs of shape \(16, 28, 28, 1\)"):
        craft("fgsm", lambda images: images, *digits, 0.1)
    monkeypatch.setattr("keras.backend.backend", lambda: "openvino")
    with pytest.raises(ValueError, match="tensorflow, jax, torch.*'openvino'"):
        Target(lambda images: images)
    with pytest.raises(ValueError, match="Received: kind=strong"):
        AttackInfo("fgsm", "linf", "foolbox", "strong")


def test_what_a_target_does_not_know_yet(digits):
    fresh = Target(lambda x: 9 - 20 * keras.ops.reshape(x, (-1, 784))[:, 300:310])
    for ask in (
        lambda: fresh.classes,
        lambda: fresh.views,
        lambda: fresh.compiled_loss(),
    ):
        with pytest.raises(RuntimeError, match=r"call `compile` .*Received: a target"):
            ask()
    fresh.compile(digits[0])
    assert (fresh.classes, fresh.views) == (10, 1)
    expected = r"`labels` must be integers from 0 to 9.*Received"
    for labels in ([10, 0], [0, -1]):
        with pytest.raises(ValueError, match=expected):
            fresh.loss_gradient(digits[0][:2], labels)
    _, gradient = fresh.loss_gradient(digits[0][:2], tf.constant([9, 0]))
    assert gradient.shape == (2, 28, 28, 1)


@pytest.mark.parametrize("wrong", ["Jax", "numpy"])
def test_a_backend_without_attacks(wrong):
    with pytest.raises(
        ValueError, match=rf"`backend` must be one of 'tensorf.*Received.*'{wrong}'"
    ):
        available(wrong)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("pgd", "foolbox"),
        ("mim", "cleverhans"),
        ("diverse", "cleverhans"),
        ("apgd", "art"),
    ],
)
def test_a_missing_extra_is_named(target, digits, monkeypatch, name, package):
    actual = builtins.__import__

    def without(module, *arguments, **keywords):
        if module.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return actual(module, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", lambda module: without(module))
    match = rf"needs {package} .*pip install 'keras-maskdef\[attacks\]'"
    with pytest.raises(ImportError, match=match):
        craft(name, target, *digits, 0.1)


def test_the_number_and_size_of_steps(target, digits):
    x, y = (d[:8] for d in digits)
    for name in ("bim", "pgd", "mim"):
        one = craft(name, target, x, y, 0.3, steps=1, step_size=0.01)
        many = craft(name, target, x, y, 0.3, steps=9, step_size=0.01)
        assert np.abs(many - one).max() > 0.05
        if name != "pgd":
            assert np.abs(one - x).max() == pytest.approx(0.01, abs=1e-6)
            assert np.abs(many - x).max() == pytest.approx(0.09, abs=1e-6)
    default = craft("bim", target, x, y, 0.3, steps=None, step_size=None)
    np.testing.assert_array_equal(default, craft("bim", target, x, y, 0.3))
