"""What a masker adds to a prediction, and a pass of its training to a bare one.

See paired.py for how ratios are taken.
"""

from typing import Any

import keras
import numpy as np
import pytest
from paired import Call, record_ratio

from keras_maskdef import MedianFilter, SparseFeatureMasker, defend, losses
from keras_maskdef.architectures import attention_unet, convnet, resnet18
from keras_maskdef.callbacks import AlternatingTraining

SHAPE = (32, 32, 3)
RNG = np.random.default_rng(0)
OKTAY = (16, 32, 64, 128, 256)
WEIGHTS = (2.5e-3, 1.0, 0.12)


@pytest.mark.parametrize("widths", [OKTAY, tuple(4 * width for width in OKTAY)])
def test_defended_prediction(benchmark: Any, widths: tuple[int, ...]) -> None:
    """At most 2.2 with the paper's networks; its table 8 says about 2."""
    classifier = resnet18()
    masker = SparseFeatureMasker(attention_unet(SHAPE, widths))
    defended = defend(classifier, masker, MedianFilter(2))
    x = RNG.random((64, *SHAPE)).astype("float32")
    record_ratio(
        benchmark,
        f"ResNet18 behind an Attention U-Net ({widths[0]} to {widths[-1]}) over alone",
        x.shape,
        lambda: defended.predict_on_batch(x),
        lambda: classifier.predict_on_batch(x),
        5,
    )


def our_pass(x: np.ndarray, batch: int, classifier: Any, network: Any) -> Call:
    """Through the callback's own hooks, at the end of an epoch."""
    callback = AlternatingTraining(
        SparseFeatureMasker(network),
        x,
        MedianFilter(2),
        reconstruction_weight=WEIGHTS[2],
        batch_size=batch,
    )
    classifier.compile("adam", "sparse_categorical_crossentropy")
    callback.set_model(classifier)
    callback.on_train_begin()
    return lambda: callback.on_epoch_end(0, {})


def hand_made_pass(x: np.ndarray, batch: int, classifier: Any, network: Any) -> Call:
    """The same computation as one function of TensorFlow, nothing logged."""
    import tensorflow as tf

    optimizer = keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)
    median = MedianFilter(2)

    @tf.function
    def step(images: Any) -> None:
        images = median(images)
        with tf.GradientTape() as tape:
            masked = images * network(images, training=True)
            logits = classifier(images, training=False)
            terms = (
                losses.sparsity(masked),
                losses.semantic(logits, classifier(masked, training=False)),
                losses.reconstruction(images, masked),
            )
            loss = sum(w * term for w, term in zip(WEIGHTS, terms, strict=True))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    data = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x)).batch(batch)

    def run() -> None:
        for images in data:
            step(images)

    return run


@pytest.mark.parametrize("name", ["ResNet18 (width 16)", "convnet"])
def test_pass_of_the_masker(benchmark: Any, name: str) -> None:
    """At most 1.5."""
    build = {"ResNet18 (width 16)": lambda: resnet18(width=16), "convnet": convnet}
    x = RNG.random((128, *SHAPE)).astype("float32")
    ours, theirs = (
        make(x, 64, build[name](), attention_unet(SHAPE, (16, 32, 64)))
        for make in (our_pass, hand_made_pass)
    )
    case = f"a pass of a masker for {name} over one function made by hand"
    record_ratio(benchmark, case, x.shape, ours, theirs, 5)
