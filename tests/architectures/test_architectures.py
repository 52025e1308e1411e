"""The classifiers: published sizes, round trip, data formats, errors."""

import keras
import numpy as np
import pytest
from sizes_of_models import multiply_adds

from keras_maskdef.architectures import convnet, lenet, resnet18, resnet50, vgg16

SMALL = {
    "convnet": (convnet, (32, 32, 3), {"width": 4}),
    "lenet": (lenet, (28, 28, 1), {}),
    "vgg16": (vgg16, (32, 32, 3), {"width": 0.25}),
    "resnet18": (resnet18, (32, 32, 3), {"width": 4}),
    "resnet50": (resnet50, (32, 32, 3), {"width": 4, "classes": 10}),
}


def small(name):
    build, shape, arguments = SMALL[name]
    return build(shape, **arguments)


def images(model, batch=4):
    shape = (batch, *model.input_shape[1:])
    return np.random.default_rng(0).random(shape, np.float32)


def kernel_shapes(model):
    return [
        tuple(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]


# The weights that train: Caffe's LeNet has 431,080; kuangliu/pytorch-cifar, whose
# ResNets are these, 11,173,962 and 23,520,842.
@pytest.mark.parametrize(
    "build, trained, millions",
    [
        (lenet, 431_080, 2.29),
        (resnet18, 11_173_962, 555.4),
        (lambda: resnet50((32, 32, 3), 10), 23_520_842, 1297.8),
    ],
)
def test_published_sizes(build, trained, millions):
    model = build()
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == trained
    assert multiply_adds(model) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(
    "build, count, millions",
    [
        (convnet, 73_402, 9.9),
        (vgg16, 14_995_146, 313.5),
        (lambda: vgg16(width=0.25), 941_754, 19.9),
        (lambda: resnet18(width=16), 703_866, 35.0),
        (resnet50, 23_963_272, 5191.6),
    ],
)
def test_sizes_that_the_docstrings_state(build, count, millions):
    model = build()
    assert model.count_params() == count
    assert multiply_adds(model) / 1e6 == pytest.approx(millions, abs=0.05)


def test_vgg16_has_the_convolutions_of_keras_applications():
    theirs = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    assert kernel_shapes(vgg16((32, 32, 3))) == kernel_shapes(theirs)


def test_resnet50_has_the_convolutions_of_keras_applications_but_for_the_stem():
    theirs = keras.applications.ResNet50(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )
    ours = sorted(kernel_shapes(resnet50((64, 64, 3))))
    expected = sorted(kernel_shapes(theirs))
    expected.remove((7, 7, 3, 64))
    assert ours == sorted([*expected, (3, 3, 3, 64)])


@pytest.mark.parametrize("name", SMALL)
def test_name_logits_and_round_trip(name, tmp_path):
    model = small(name)
    assert model.name == name
    assert model.output_shape == (None, 10)
    x = images(model)
    logits = keras.ops.convert_to_numpy(model(x))
    # Softmax would make them positive and sum to 1.
    assert logits.min() < 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(loaded(x)), logits)


@pytest.mark.parametrize("name", SMALL)
def test_one_training_step_moves_every_trained_weight(name):
    keras.utils.set_random_seed(0)
    model = small(name)
    before = [w.numpy() for w in model.trainable_weights]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loss = model.train_on_batch(images(model, 8), np.arange(8))
    assert np.isfinite(loss)
    for old, new in zip(before, model.trainable_weights, strict=True):
        assert not np.array_equal(old, new.numpy()), new.path


@pytest.mark.usefixtures("channels_first_convolutions")
@pytest.mark.parametrize("name", SMALL)
def test_channels_first_computes_the_same(name):
    last = small(name)
    x = images(last)
    build, (height, width, channels), arguments = SMALL[name]
    keras.config.set_image_data_format("channels_first")
    try:
        first = build((channels, height, width), **arguments)
    finally:
        keras.config.set_image_data_format("channels_last")
    first.set_weights(last.get_weights())
    logits = keras.ops.convert_to_numpy(first(x.transpose(0, 3, 1, 2)))
    expected = keras.ops.convert_to_numpy(last(x))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "build, shape",
    [
        (lenet, (16, 16, 1)),
        (lenet, (17, 30, 3)),
        (vgg16, (32, 32, 1)),
        (vgg16, (33, 47, 3)),
        (resnet18, (8, 8, 1)),
        (resnet18, (9, 31, 3)),
        (resnet50, [8, 8, 3]),
        (convnet, (8, 9, 1)),
    ],
)
def test_any_size_from_the_smallest_on(build, shape):
    model = build(shape, classes=3)
    assert model(images(model, 2)).shape == (2, 3)


@pytest.mark.parametrize(
    "build, side",
    [(lenet, 15), (vgg16, 31), (resnet18, 7), (resnet50, 7), (convnet, 7)],
)
def test_too_small_an_image_is_an_error(build, side):
    with pytest.raises(ValueError, match=rf"at least {side + 1} pixels.*Received"):
        build((64, side, 3))


@pytest.mark.parametrize("build", [convnet, lenet, vgg16, resnet18, resnet50])
@pytest.mark.parametrize(
    "shape", [(28, 28), (1, 28, 28, 1), (None, None, 3), (32, 32, 0), 32, (32.0, 32, 3)]
)
def test_a_wrong_input_shape_is_an_error(build, shape):
    with pytest.raises(ValueError, match=r"`input_shape` must be .*Received"):
        build(shape)


@pytest.mark.parametrize("build", [convnet, lenet, vgg16, resnet18, resnet50])
@pytest.mark.parametrize("classes", [1, 0, -3, 2.5, True, None])
def test_wrong_classes_are_an_error(build, classes):
    with pytest.raises(ValueError, match=r"`classes` must be .*Received: classes="):
        build((32, 32, 3), classes)


@pytest.mark.parametrize("build", [convnet, vgg16, resnet18, resnet50])
@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf"), True, "wide"])
def test_a_wrong_width_is_an_error(build, width):
    with pytest.raises(ValueError, match=r"`width` must be .*Received: width="):
        build((32, 32, 3), width=width)


def test_a_resnet_takes_no_fraction_as_width():
    with pytest.raises(ValueError, match="integer above 0"):
        resnet18(width=0.25)


def test_a_tiny_vgg_keeps_a_filter_in_every_layer():
    assert kernel_shapes(vgg16(width=1e-6)) == [(3, 3, 3, 1)] + 12 * [(3, 3, 1, 1)]


def test_numpy_numbers_are_numbers():
    size = np.int64(32)
    shape = (size, size, np.int32(1))
    assert resnet18(shape, np.int64(4), np.int64(2)).output_shape == (None, 4)
    assert vgg16(shape, np.int64(4), np.float32(0.1)).output_shape == (None, 4)
