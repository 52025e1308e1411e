"""The Attention U-Net: sizes, padding, gates, errors."""

import keras
import numpy as np
import pytest
from sizes_of_models import multiply_adds

from keras_maskdef.architectures import attention_unet

OKTAY = (16, 32, 64, 128, 256)


def images(shape, batch=2):
    return np.random.default_rng(0).random((batch, *shape), np.float32)


@pytest.mark.parametrize(
    "shape, widths, count, millions",
    [
        ((32, 32, 3), OKTAY, 2_229_365, 65.0),
        ((64, 64, 3), OKTAY, 2_229_365, 259.8),
        ((32, 32, 3), (16, 32, 64), 134_835, 33.9),
        ((64, 64, 3), (16, 32, 64), 134_835, 135.5),
    ],
)
def test_sizes_that_the_docstring_states(shape, widths, count, millions):
    model = attention_unet(shape, widths)
    assert model.count_params() == count
    assert multiply_adds(model) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (33, 47, 3), (16, 40, 2)])
def test_a_map_of_the_size_of_the_images(shape):
    model = attention_unet(shape, widths=(2, 3, 4, 5))
    mask = model(images(shape)).numpy()
    assert mask.shape == (2, *shape[:2], 1)
    assert mask.min() > 0 and mask.max() < 1


def test_a_size_that_fits_is_not_padded():
    names = [type(x).__name__ for x in attention_unet((16, 16, 3), (2, 4, 8)).layers]
    assert "ZeroPadding2D" not in names and "Cropping2D" not in names


def test_depth_and_one_width():
    shapes = [
        [tuple(w.shape) for w in model.weights]
        for model in (
            attention_unet((16, 16, 3), 4, depth=2),
            attention_unet((16, 16, 3), (4, 8, 16)),
            attention_unet((16, 16, 3), (4, 8, 16), depth=2),
        )
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_the_gates_decide_what_the_skips_pass():
    """With its coefficients driven to zero, a gate passes nothing of the finest."""
    model = attention_unet((16, 16, 1), (2, 4))
    # The gate's last convolution and the network's have one filter and a sigmoid.
    gate, last = (
        layer
        for layer in model.layers
        if getattr(layer, "filters", 0) == 1 and layer.activation.__name__ == "sigmoid"
    )
    joined = next(x for x in model.layers if isinstance(x, keras.layers.Concatenate))
    skip = keras.Model(model.inputs[0], joined.input[0])
    x = images((16, 16, 1))
    assert np.abs(skip(x).numpy()).max() > 1e-3
    kernel, bias = gate.get_weights()
    gate.set_weights([0 * kernel, bias - 100])
    assert np.abs(skip(x).numpy()).max() < 1e-20
    assert last is not gate


def test_round_trip(tmp_path):
    last = attention_unet((20, 16, 3), (2, 4, 8))
    last.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = images((20, 16, 3))
    np.testing.assert_array_equal(loaded(x), last(x))


@pytest.mark.usefixtures("channels_first_convolutions")
def test_channels_first_computes_the_same():
    last, x = attention_unet((20, 16, 3), (2, 4, 8)), images((20, 16, 3))
    keras.config.set_image_data_format("channels_first")
    try:
        first = attention_unet((3, 20, 16), (2, 4, 8))
    finally:
        keras.config.set_image_data_format("channels_last")
    first.set_weights(last.get_weights())
    mask = first(x.transpose(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(mask.transpose(0, 2, 3, 1), last(x), atol=1e-5)


def test_the_map_of_a_half_precision_network_is_in_single():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = attention_unet((8, 8, 1), (2, 4))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == "float32"


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"widths": 8}, r"`depth` must be given .*Received: widths=8"),
        ({"widths": 8, "depth": 0}, r"`depth` must be .*Received: depth=0"),
        ({"widths": 8, "depth": 1.5}, r"`depth` must be .*Received: depth=1.5"),
        ({"widths": (8,)}, r"`widths` must be .*Received: widths=\(8,\)"),
        ({"widths": (8, 0)}, r"`widths` must be .*Received"),
        ({"widths": "wide"}, r"`widths` must be .*Received"),
        ({"widths": (4, 8), "depth": 2}, r"one more than `depth`.*Received"),
        ({"input_shape": (7, 8, 1)}, r"at least 8 pixels.*Received"),
        ({"input_shape": (None, None, 3)}, r"`input_shape` must be .*Received"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        attention_unet(**arguments)
