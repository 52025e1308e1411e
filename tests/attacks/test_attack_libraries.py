"""The adapters return what their libraries return by hand."""

import random

import foolbox
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_maskdef import datasets
from keras_maskdef.attacks import craft

pytestmark = pytest.mark.filterwarnings("ignore:PyTorch not found:UserWarning")
SIZES = {"l1": 8.0, "l2": 1.0, "linf": 0.1}
NORMS = {"l1": "L1", "l2": "L2", "linf": "Linf"}
CW = {"steps": 20, "binary_search_steps": 3, "initial_const": 5.0}
FOOLBOX = [
    *(
        (name, norm, NORMS[norm] + long, {})
        for name, long in (
            ("fgsm", "FastGradientAttack"),
            ("bim", "BasicIterativeAttack"),
            ("pgd", "ProjectedGradientDescentAttack"),
        )
        for norm in NORMS
    ),
    ("cw", "l2", "L2CarliniWagnerAttack", CW),
    ("deepfool", "l2", "L2DeepFoolAttack", {}),
    ("deepfool", "linf", "LinfDeepFoolAttack", {}),
]


@pytest.fixture(scope="module")
def digits():
    images, labels, _ = datasets.sample("test[:12]")
    return images, labels


def attacked_in_grey(classifier, images):
    """CW's steps are small near black and white: hundreds before it moves a digit."""
    rescaling = keras.layers.Rescaling(2.0, offset=-0.5)
    return keras.Sequential([rescaling, classifier]), 0.25 + 0.5 * images


@pytest.mark.parametrize(("name", "norm", "theirs", "options"), FOOLBOX)
def test_foolbox(classifier, digits, name, norm, theirs, options):
    """And so its defaults, which are those of the MAD paper."""
    (images, labels), attacked = digits, classifier
    if name == "cw":
        attacked, images = attacked_in_grey(classifier, images)
    model = foolbox.TensorFlowModel(attacked, bounds=(0, 1), device="/CPU:0")
    attack = getattr(foolbox.attacks, theirs)(**options)
    tf.random.set_seed(3)
    raw, expected, _ = attack(
        model, tf.constant(images), tf.constant(labels), epsilons=SIZES[norm]
    )
    ours = craft(name, attacked, images, labels, SIZES[norm], norm, seed=3, **options)
    found = raw.numpy().any(axis=(1, 2, 3))
    assert found.mean() > 0.5
    np.testing.assert_allclose(ours[found], expected.numpy()[found], atol=1e-5)
    np.testing.assert_array_equal(ours[~found], images[~found])


STEPS = {"L1": 50, "L2": 50, "Linf": 40}  # of foolbox's PGD, whatever its size


@pytest.mark.parametrize("norm", NORMS)
def test_fewer_steps_of_pgd_go_as_far(classifier, digits, norm):
    """A step is larger then, unless its size is given; more steps are as they were."""
    theirs = getattr(foolbox.attacks, f"{NORMS[norm]}ProjectedGradientDescentAttack")
    size = theirs().rel_stepsize
    (images, labels), epsilon, own = digits, SIZES[norm], STEPS[NORMS[norm]]
    model = foolbox.TensorFlowModel(classifier, bounds=(0, 1), device="/CPU:0")
    for ours, by_hand in (
        ({"steps": 5}, {"steps": 5, "rel_stepsize": size * own / 5}),
        ({"steps": own + 5}, {"steps": own + 5}),
        (
            {"steps": 5, "step_size": epsilon / 9},
            {"steps": 5, "abs_stepsize": epsilon / 9},
        ),
    ):
        tf.random.set_seed(3)
        expected = theirs(**by_hand)(
            model, tf.constant(images), tf.constant(labels), epsilons=epsilon
        )[1]
        made = craft("pgd", classifier, images, labels, epsilon, norm, seed=3, **ours)
        np.testing.assert_allclose(made, expected.numpy(), atol=1e-5, err_msg=str(ours))


def by_cleverhans(name, model, images, labels):
    from cleverhans.tf2.attacks import (
        basic_iterative_method,
        fast_gradient_method,
        momentum_iterative_method,
        projected_gradient_descent,
    )

    attack = {
        "fgsm": fast_gradient_method.fast_gradient_method,
        "bim": basic_iterative_method.basic_iterative_method,
        "pgd": projected_gradient_descent.projected_gradient_descent,
        "mim": momentum_iterative_method.momentum_iterative_method,
    }[name]
    keywords = {"norm": np.inf, "clip_min": 0.0, "clip_max": 1.0, "eps": 0.1}
    if name != "fgsm":
        keywords |= {"eps_iter": 0.02, "nb_iter": 7}
    if name in ("bim", "pgd"):
        # Cleverhans 4.0's checks do not run on NumPy 2, and are on by default in BIM.
        keywords["sanity_checks"] = False
    if name == "pgd":
        keywords["rand_init"] = True
    return attack(model, tf.constant(images), y=tf.constant(labels), **keywords).numpy()


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd", "mim"])
def test_cleverhans(classifier, digits, name):
    images, labels = digits
    tf.random.set_seed(3)
    expected = by_cleverhans(name, lambda x: classifier(x), images, labels)
    options = {} if name == "fgsm" else {"steps": 7, "step_size": 0.02}
    ours = craft(
        name, classifier, *digits, 0.1, seed=3, library="cleverhans", **options
    )
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_cleverhans_takes_the_steps_of_the_sfm_paper(classifier, digits):
    for name in ("bim", "pgd", "mim"):
        first, second = (
            craft(name, classifier, *digits, 0.1, library="cleverhans", **options)
            for options in ({}, {"steps": 30, "step_size": 1 / 255})
        )
        np.testing.assert_array_equal(first, second)
    small = craft("bim", classifier, *digits, 1e-3, library="cleverhans")
    assert np.abs(small - digits[0]).max() == pytest.approx(1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "loss"),
    [("apgd", "cross_entropy"), ("apgd-dlr", "difference_logits_ratio")],
)
@pytest.mark.parametrize("norm", NORMS)
def test_art_apgd(classifier, digits, name, loss, norm):
    images, labels = digits
    from art.attacks.evasion import AutoProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    model = TensorFlowV2Classifier(
        classifier, 10, (28, 28, 1), clip_values=(0.0, 1.0), preprocessing=None
    )
    attack = AutoProjectedGradientDescent(
        model,
        norm={"l1": 1, "l2": 2, "linf": np.inf}[norm],
        eps=SIZES[norm],
        eps_step=2 * SIZES[norm],
        max_iter=8,
        nb_random_init=1,
        loss_type=loss,
        verbose=False,
    )
    np.random.seed(3)  # noqa: NPY002
    expected = attack.generate(images, labels)
    ours = craft(name, classifier, *digits, SIZES[norm], norm, seed=3, steps=8)
    # ART's own images are up to a rounding outside the ball.
    np.testing.assert_allclose(ours, expected, atol=2e-5)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_art_square(classifier, digits, norm):
    """But for images that ART makes NaN, which never count as better here."""
    from art.attacks.evasion import SquareAttack
    from art.estimators.classification import TensorFlowV2Classifier

    images, labels = digits
    model = TensorFlowV2Classifier(
        classifier, 10, (28, 28, 1), clip_values=(0.0, 1.0), preprocessing=None
    )
    order = 2 if norm == "l2" else np.inf
    attack = SquareAttack(model, order, eps=SIZES[norm], max_iter=9, verbose=False)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    with np.errstate(all="ignore"):
        expected = attack.generate(images, labels)
    ours = craft("square", classifier, *digits, SIZES[norm], norm, seed=3, steps=9)
    whole = np.isfinite(expected).all((1, 2, 3))
    assert whole.mean() > 0.3
    np.testing.assert_allclose(ours[whole], expected[whole], atol=1e-5)


def test_hopskipjump_leaves_wrong_predictions_alone(classifier, digits):
    images, labels = digits
    wrong = (labels + 1) % 10
    made = craft("hopskipjump", classifier, images, wrong, 0.2, steps=1)
    np.testing.assert_array_equal(made, images)


def test_apgd_dlr_needs_three_classes():
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    images, labels = np.full((2, 8, 8, 1), 0.5), np.array([0, 1])
    craft("apgd", model, images, labels, 0.1, steps=2)
    with pytest.raises(ValueError, match="Received: name='apgd-dlr', classes=2"):
        craft("apgd-dlr", model, images, labels, 0.1)


def test_art_predicts_in_batches(classifier, digits):
    """HopSkipJump asks for hundreds of images at once."""
    sizes = []

    def model(images):
        if tf.executing_eagerly():
            return classifier(images)
        tf.py_function(lambda n: sizes.append(int(n)), [tf.shape(images)[0]], [])
        return classifier(images)

    craft("hopskipjump", model, *(d[:2] for d in digits), 0.2, norm="l2", steps=3)
    assert max(sizes) == 128
