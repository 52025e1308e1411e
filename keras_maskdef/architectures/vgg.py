"""VGG16 for small images."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_maskdef.architectures._parts import (
    class_count,
    conv_norm,
    image_input,
    is_positive,
)

# Number of convolutions and of filters of each stage (configuration D of the paper).
_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def vgg16(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
) -> keras.Model:
    """Builds a VGG16 for small images, with batch normalization.

    The 13 convolutions of configuration D, each 3x3 and followed by batch
    normalization and ReLU, in five stages that end in a 2x2 max pooling. The last
    feature map is averaged over its pixels (one pixel for 32x32 images) and goes
    through one hidden dense layer, in place of the paper's two of 4,096 units for
    224x224 images.

    With the default arguments: 15.0 million weights and 313 million
    multiply-adds an image; with `width=0.25`: 0.94 million and 20 million.

    Args:
        input_shape: `(height, width, channels)`, at least 32x32;
            `(channels, height, width)` where Keras is set to `channels_first`.
        classes: Number of classes, at least 2.
        width: Multiplies the number of filters of every convolution and of
            units of the hidden dense layer (rounded, at least 1). 1.0 is the
            paper's network.

    Returns:
        An uncompiled functional `keras.Model` named `"vgg16"`, from float
        images `(batch, *input_shape)` in [0, 1] to logits `(batch, classes)`.

    Raises:
        ValueError: `input_shape` is not three positive integers or is under
            32x32, `classes` is under 2, or `width` is not a number above 0.

    Example:

    ```python
    from keras_maskdef.architectures import vgg16

    model = vgg16(input_shape=(32, 32, 3), classes=10, width=0.25)
    assert model.output_shape == (None, 10)
    ```

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for
        Large-Scale Image Recognition", ICLR 2015, table 1, column D; batch
        normalization after Ioffe and Szegedy, ICML 2015.
    """
    classes = class_count(classes)
    if not is_positive(width):
        raise ValueError(
            "`width` must be a finite number above 0, a multiplier of the filters. "
            f"Received: width={width}"
        )
    inputs = image_input(input_shape, minimum=32)
    x = inputs
    for convolutions, filters in _STAGES:
        for _ in range(convolutions):
            x = layers.ReLU()(conv_norm(x, _scaled(filters, width), 3))
        x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(
        _scaled(512, width), activation="relu", kernel_initializer="he_normal"
    )(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name="vgg16")


def _scaled(filters: int, width: float) -> int:
    return max(1, round(filters * width))
