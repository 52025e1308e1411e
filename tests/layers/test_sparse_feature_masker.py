"""The masker layer, and the defended model it is a part of."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_check import check_layer

import keras_maskdef as kmd

SHAPE = (12, 12, 3)
IMAGES = np.random.default_rng(0).random((4, *SHAPE)).astype("float32")


def network(shape=SHAPE):
    keras.utils.set_random_seed(0)
    return kmd.architectures.attention_unet(shape, widths=(2, 4))


def classifier():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    )


def test_layer_check():
    arguments = {
        "network": network(),
        "data_format": "channels_last",
        "value_range": (0, 2),
    }
    check_layer(kmd.SparseFeatureMasker, arguments, SHAPE)


def test_images_times_mask():
    masker = kmd.SparseFeatureMasker(network())
    mask = network()(IMAGES)
    np.testing.assert_array_equal(masker.mask(IMAGES), mask)
    np.testing.assert_array_equal(masker(IMAGES), IMAGES * mask)


def test_gradient_through_both_factors():
    masker = kmd.SparseFeatureMasker(network())
    x = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(masker(x))
    gradient = tape.gradient(total, x).numpy()
    with tf.GradientTape() as tape:
        tape.watch(x)
        through_the_mask = tf.reduce_sum(IMAGES * masker.mask(x))
    second = tape.gradient(through_the_mask, x).numpy()
    assert np.abs(second).max() > 1e-4
    np.testing.assert_allclose(
        gradient, masker.mask(x).numpy() + second, rtol=1e-4, atol=1e-6
    )


def test_training_reaches_the_network():
    masker = kmd.SparseFeatureMasker(network())
    layers = masker.network.layers
    norm = next(x for x in layers if isinstance(x, keras.layers.BatchNormalization))
    before = norm.moving_mean.numpy()
    masker(IMAGES, training=False)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    masker(IMAGES, training=True)
    assert (norm.moving_mean.numpy() != before).any()


def test_the_default_network_is_made_for_the_first_images():
    masker = kmd.SparseFeatureMasker(dtype="mixed_bfloat16")
    assert masker(IMAGES).dtype == "bfloat16"
    assert masker.network.name == "attention_unet"
    assert masker.network.layers[1].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    rebuilt = kmd.SparseFeatureMasker.from_config(masker.get_config())
    assert rebuilt.network.count_params() == masker.network.count_params()


@keras.saving.register_keras_serializable()
class FirstChannel(keras.layers.Layer):
    """A network of no weights, for channels first."""

    def call(self, images):
        return images[:, :1]

    def compute_output_spec(self, images):
        shape = (images.shape[0], 1, *images.shape[2:])
        return keras.KerasTensor(shape, images.dtype)


def test_channels_first():
    masker = kmd.SparseFeatureMasker(FirstChannel(), data_format="channels_first")
    images = IMAGES.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(masker(images), images * images[:, :1])


def test_bad_networks():
    with pytest.raises(TypeError, match=r"`network` must be .*Received: network=3"):
        kmd.SparseFeatureMasker(3)
    for layer in (keras.layers.Conv2D(2, 1), keras.layers.Conv2D(1, 3)):
        with pytest.raises(ValueError, match=r"one channel of the images' .*Received"):
            kmd.SparseFeatureMasker(layer)(IMAGES)


def test_bad_images():
    masker = kmd.SparseFeatureMasker(network())
    with pytest.raises(ValueError, match=r"batch axis.*Received"):
        masker(IMAGES[0])
    with pytest.raises(TypeError, match=r"floating point"):
        masker.mask(np.zeros((2, *SHAPE), "uint8"))


def defended_models():
    masker = kmd.SparseFeatureMasker(network())
    vote = {"mask": kmd.RandomGridMask(4, 0.5, seed=3), "votes": 3}
    filters = [kmd.MedianFilter(2), kmd.BitDepthReduction(5)]
    return {
        "classifier": kmd.defend(classifier()),
        "masker": kmd.defend(classifier(), masker),
        "filters": kmd.defend(classifier(), filters=filters),
        "masker_filters": kmd.defend(classifier(), masker, filters),
        "masker_filters_vote": kmd.defend(classifier(), masker, filters, voting=vote),
        "vote": kmd.defend(classifier(), voting=kmd.RandomGridMask(4, 0.5, seed=3)),
    }


LOADER = """
import json, sys
import keras, numpy as np
import keras_maskdef, tensorflow as tf
folder, names = sys.argv[1], json.loads(sys.argv[2])
images = np.load(folder + "/images.npy")
for name in names:
    expected = np.load(f"{folder}/{name}.npy")
    model = keras.saving.load_model(f"{folder}/{name}.keras", safe_mode=True)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)
    if "vote" not in name:
        exported = tf.saved_model.load(f"{folder}/{name}-exported")
        np.testing.assert_allclose(exported.serve(images), expected, atol=1e-5)
"""


@pytest.mark.long
def test_every_combination_saves_and_exports(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    models = defended_models()
    for name, model in models.items():
        assert model.output_shape == (None, 5)
        model.save(tmp_path / f"{name}.keras")
        if "vote" not in name:  # as of a mask with a seed, only the first draw is known
            model.export(tmp_path / f"{name}-exported", verbose=False)
    for name in models:
        fresh = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", fresh.predict(IMAGES, verbose=0))
    arguments = [str(tmp_path), json.dumps(list(models))]
    finished = subprocess.run(
        [sys.executable, "-c", LOADER, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_the_order_is_mask_filter_classify():
    masker, median = kmd.SparseFeatureMasker(network()), kmd.MedianFilter(3)
    model = classifier()
    defended = kmd.defend(model, masker, median)
    expected = model(median(masker(IMAGES)))
    np.testing.assert_allclose(defended(IMAGES), expected, rtol=1e-5, atol=1e-6)
    assert (np.abs(model(masker(median(IMAGES))) - expected) > 1e-6).any()


def test_a_subclassed_classifier_that_was_called():
    class Classifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = classifier()

        def call(self, images):
            return self.inner(images)

    model = Classifier()
    with pytest.raises(ValueError, match=r"`classifier` must be built.*Received"):
        kmd.defend(model)
    expected = model(IMAGES)
    np.testing.assert_allclose(kmd.defend(model)(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((3,), r"`classifier` must be .*Received"),
        ((classifier(), keras.layers.ReLU()), r"`masker` must be .*Received"),
        ((classifier(), None, [3]), r"`filters` must be .*Received"),
        ((classifier(), None, (), 3), r"`voting` must be .*Received"),
    ],
)
def test_bad_parts(arguments, match):
    with pytest.raises(TypeError, match=match):
        kmd.defend(*arguments)
