"""What an attack takes through `prepare` to what it takes by its library alone.

Both sides are called with all in place: our target compiled, the library's own
functions traced. See paired.py for how ratios are taken.
"""

from typing import Any

import keras
import numpy as np
import pytest
from paired import record_ratio

from keras_maskdef.architectures import lenet, vgg16
from keras_maskdef.attacks import prepare

RNG = np.random.default_rng(0)
MODELS = {
    "LeNet": (lenet, (28, 28, 1)),
    "VGG16 (width 0.25)": (lambda: vgg16(width=0.25), (32, 32, 3)),
}
BATCH, EPSILON = 128, 8 / 255
ART = pytest.mark.filterwarnings("ignore:PyTorch not found:UserWarning")


def setting(name: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    build, shape = MODELS[name]
    images = RNG.random((BATCH, *shape)).astype("float32")
    return build(), images, RNG.integers(0, 10, BATCH)


@pytest.mark.parametrize("name", MODELS)
def test_foolbox_pgd(benchmark: Any, name: str) -> None:
    """At most 0.77; the steps take nearly all of the time, so four are enough."""
    import foolbox
    import tensorflow as tf

    model, x, y = setting(name)
    attack = prepare("pgd", model, steps=4)
    bare_model = foolbox.TensorFlowModel(model, bounds=(0, 1), device="/CPU:0")
    bare = foolbox.attacks.LinfPGD(steps=4)
    images, labels = tf.constant(x), tf.constant(y)
    record_ratio(
        benchmark,
        f"PGD on {name} over bare foolbox",
        x.shape,
        lambda: attack(x, y, [EPSILON]),
        lambda: bare(bare_model, images, labels, epsilons=EPSILON),
        5,
    )


@pytest.mark.parametrize("name", MODELS)
def test_cleverhans_mim(benchmark: Any, name: str) -> None:
    """At most 1.05: cleverhans compiles its gradients, too."""
    import tensorflow as tf
    from cleverhans.tf2.attacks.momentum_iterative_method import (
        momentum_iterative_method,
    )

    model, x, y = setting(name)
    attack = prepare("mim", model, steps=8)
    images, labels = tf.constant(x), tf.constant(y)
    record_ratio(
        benchmark,
        f"MIM on {name} over bare cleverhans",
        x.shape,
        lambda: attack(x, y, [EPSILON]),
        lambda: momentum_iterative_method(
            model, images, EPSILON, 1 / 255, 8, y=labels, clip_min=0.0, clip_max=1.0
        ),
        5,
    )


@ART
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["apgd", "apgd-dlr"])
def test_art_apgd(benchmark: Any, name: str, norm: str) -> None:
    """At most 1."""
    from art.attacks.evasion import AutoProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    model, x, y = setting("LeNet")
    # It attacks only what the model gets right.
    y = model.predict(x, verbose=0).argmax(-1)
    attack = prepare(name, model, norm, steps=3)
    classifier = TensorFlowV2Classifier(model, 10, (28, 28, 1), clip_values=(0.0, 1.0))
    bare = AutoProjectedGradientDescent(
        classifier,
        norm={"linf": np.inf, "l2": 2}[norm],
        eps=EPSILON,
        eps_step=2 * EPSILON,
        max_iter=3,
        nb_random_init=1,
        batch_size=BATCH,
        loss_type={"apgd": "cross_entropy", "apgd-dlr": "difference_logits_ratio"}[
            name
        ],
        verbose=False,
    )
    record_ratio(
        benchmark,
        f"{name} ({norm}) on LeNet over bare ART",
        x.shape,
        lambda: attack(x, y, [EPSILON]),
        lambda: bare.generate(x, y),
        3,
    )
