import builtins

import foolbox
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_maskdef import RandomGridMask, VotingEnsemble, datasets
from keras_maskdef.attacks import available, craft, expectation_over_masks


@pytest.fixture(scope="module")
def digits():
    images, labels, _ = datasets.sample("test[:60]")
    return images, labels


def accuracy(model, images, labels):
    return np.mean(model.predict(images, verbose=0).argmax(-1) == labels)


@pytest.mark.parametrize(("name", "norm"), available())
def test_attacks_stay_in_their_ball_and_beat_noise(classifier, digits, name, norm):
    images, labels = digits
    epsilon = 0.2 if norm == "linf" else 2.0
    done = []
    adversarial = craft(
        name, classifier, images, labels, epsilon, norm, 25, on_batch=done.append
    )
    assert done == [25, 25, 10]
    assert adversarial.shape == images.shape
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    change = (adversarial - images).reshape(60, -1)
    order = np.inf if norm == "linf" else 2
    sizes = np.linalg.norm(change, order, axis=1)
    assert sizes.max() <= epsilon + 1e-5
    noise = np.random.default_rng(0).choice([-1.0, 1.0], images.shape)
    noise *= epsilon if norm == "linf" else epsilon / 28
    noisy = np.clip(images + noise, 0, 1).astype("float32")
    fooled = accuracy(classifier, adversarial, labels)
    assert fooled < accuracy(classifier, noisy, labels) - 0.1


def test_the_same_as_foolbox_by_hand(classifier, digits):
    """And so its defaults, which are those of the MAD paper."""
    images, labels = digits
    model = foolbox.TensorFlowModel(classifier, bounds=(0, 1), device="/CPU:0")
    attack = foolbox.attacks.LinfBasicIterativeAttack()
    _, expected, _ = attack(
        model, tf.constant(images), tf.constant(labels), epsilons=0.1
    )
    np.testing.assert_allclose(
        craft("bim", classifier, images, labels, 0.1), expected, atol=1e-6
    )


def test_probabilities_are_attacked_as_logits(classifier, digits):
    """But for signs of gradients that round to zero on one way."""
    softmax = keras.Sequential([classifier, keras.layers.Softmax()])
    adversarial = [
        craft("fgsm", model, *digits, epsilon=0.1) for model in (softmax, classifier)
    ]
    assert np.mean(np.abs(adversarial[0] - adversarial[1]) > 1e-6) < 0.01


def test_seeds(classifier, digits):
    images, labels = digits
    first, again, other = (
        craft("pgd", classifier, images[:8], labels[:8], 0.1, seed=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


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


def test_empty_batch(classifier, digits):
    images, labels = digits
    assert craft("pgd", classifier, images[:0], labels[:0], 0.1).shape[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "jsma"}, r"one of: bim \(linf\).*Received: name='jsma'"),
        ({"norm": "l1"}, "Received: name='pgd', norm='l1'"),
        ({"images": np.full((2, 28, 28, 1), 255.0)}, "images.max.*=255.0"),
        ({"images": np.full((2, 28, 28, 1), np.nan)}, "without NaN"),
        ({"images": np.zeros((2, 28, 28, 1), "uint8")}, "images.dtype=uint8"),
        ({"images": np.zeros((2, 28, 28))}, r"images.shape=\(2, 28, 28\)"),
        ({"labels": np.zeros(3, int)}, r"labels.shape=\(3,\)"),
        ({"labels": np.zeros(2)}, "labels.dtype=float64"),
        ({"labels": np.array([0, 10])}, "labels.*10 classes.*labels.max"),
        ({"labels": np.array([0, -1])}, "labels.min.*=-1"),
        ({"epsilon": 0}, "Received: epsilon=0"),
        ({"epsilon": float("nan")}, "Received: epsilon=nan"),
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


def test_a_missing_extra_is_named(classifier, digits, monkeypatch):
    actual = builtins.__import__

    def without_foolbox(name, *arguments, **keywords):
        if name.partition(".")[0] == "foolbox":
            raise ModuleNotFoundError("No module named 'foolbox'", name="foolbox")
        return actual(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_foolbox)
    monkeypatch.setattr(
        "importlib.import_module",
        lambda name: without_foolbox(name),
    )
    with pytest.raises(ImportError, match=r"pip install 'keras-maskdef\[attacks\]'"):
        craft("fgsm", classifier, *digits, 0.1)


def test_the_number_and_size_of_steps(classifier):
    x, y, _ = datasets.sample("test[:8]")
    for name in ("bim", "pgd"):
        one = craft(name, classifier, x, y, 0.3, steps=1, step_size=0.01)
        many = craft(name, classifier, x, y, 0.3, steps=9, step_size=0.01)
        assert np.abs(many - one).max() > 0.05
        if name == "bim":
            assert np.abs(one - x).max() == pytest.approx(0.01, abs=1e-6)
            assert np.abs(many - x).max() == pytest.approx(0.09, abs=1e-6)


@pytest.mark.parametrize(
    "arguments, match",
    [
        (("fgsm",), "`steps` and `step_size` are for bim and pgd only"),
        (("pgd", 0), "`steps` must be"),
        (("pgd", 3, -0.1), "`step_size` must be"),
    ],
)
def test_bad_steps(classifier, arguments, match):
    x, y, _ = datasets.sample("test[:2]")
    name, steps, size = (*arguments, *(3, None)[len(arguments) - 1 :])
    with pytest.raises(ValueError, match=match):
        craft(name, classifier, x, y, 0.3, steps=steps, step_size=size)
