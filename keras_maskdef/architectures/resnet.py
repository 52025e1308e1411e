"""ResNet18 and ResNet50 for small images."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from keras_maskdef.architectures._parts import (
    channel_axis,
    class_count,
    conv_norm,
    image_input,
    is_integer,
)

_Block = Callable[[keras.KerasTensor, int, int], keras.KerasTensor]


def resnet18(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    width: int = 64,
) -> keras.Model:
    """Builds a ResNet18 for small images.

    Four stages of two basic blocks. For small images the stem is one 3x3
    convolution of stride 1 without max pooling, so a 32x32 image reaches the
    last stage as 4x4.

    With the default arguments: 11.2 million weights and 556 million
    multiply-adds an image; with `width=16`: 0.70 million and 35 million.

    Args:
        input_shape: `(height, width, channels)`, at least 8x8;
            `(channels, height, width)` where Keras is set to `channels_first`.
        classes: Number of classes, at least 2.
        width: Filters of the first stage, doubled from stage to stage. 64 is the
            paper's network.

    Returns:
        An uncompiled functional `keras.Model` named `"resnet18"`, from float
        images `(batch, *input_shape)` in [0, 1] to logits `(batch, classes)`.

    Raises:
        ValueError: `input_shape` is not three positive integers or is under
            8x8, `classes` is under 2, or `width` is not an integer above 0.

    Example:

    ```python
    from keras_maskdef.architectures import resnet18

    model = resnet18(input_shape=(32, 32, 3), classes=10, width=16)
    assert model.output_shape == (None, 10)
    ```

    Reference:
        He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition",
        CVPR 2016, table 1; the 3x3 stem is from its section 4.2.
    """
    return _resnet("resnet18", input_shape, classes, width, _basic, (2, 2, 2, 2))


def resnet50(
    input_shape: Sequence[int] = (64, 64, 3),
    classes: int = 200,
    width: int = 64,
) -> keras.Model:
    """Builds a ResNet50 for small images.

    Four stages of 3, 4, 6 and 3 bottleneck blocks. The stride of a stage is in the
    3x3 convolution of its first block. The stem is the same as in `resnet18`.

    With the default arguments: 23.9 million weights and 5.2 billion multiply-adds
    an image.

    Args:
        input_shape: `(height, width, channels)`, at least 8x8;
            `(channels, height, width)` where Keras is set to `channels_first`.
        classes: Number of classes, at least 2.
        width: Filters of the first stage's 3x3 convolutions; its output has four
            times as many. Both double from stage to stage. 64 is the paper's
            network.

    Returns:
        An uncompiled functional `keras.Model` named `"resnet50"`, from float
        images `(batch, *input_shape)` in [0, 1] to logits `(batch, classes)`.

    Raises:
        ValueError: `input_shape` is not three positive integers or is under
            8x8, `classes` is under 2, or `width` is not an integer above 0.

    Example:

    ```python
    from keras_maskdef.architectures import resnet50

    model = resnet50(input_shape=(64, 64, 3), classes=20, width=8)
    assert model.output_shape == (None, 20)
    ```

    Reference:
        He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition",
        CVPR 2016, table 1.
    """
    return _resnet("resnet50", input_shape, classes, width, _bottleneck, (3, 4, 6, 3))


def _resnet(
    name: str,
    input_shape: Sequence[int],
    classes: int,
    width: int,
    block: _Block,
    stages: Sequence[int],
) -> keras.Model:
    classes = class_count(classes)
    if not is_integer(width) or width < 1:
        raise ValueError(
            "`width` must be an integer above 0, the filters of the first stage. "
            f"Received: width={width}"
        )
    inputs = image_input(input_shape, minimum=8)
    x = layers.ReLU()(conv_norm(inputs, int(width), 3))
    for stage, blocks in enumerate(stages):
        for index in range(blocks):
            x = block(x, int(width) * 2**stage, 2 if stage and not index else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name=name)


def _basic(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    y = layers.ReLU()(conv_norm(x, filters, 3, strides))
    return _join(x, conv_norm(y, filters, 3), strides)


def _bottleneck(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    y = layers.ReLU()(conv_norm(x, filters, 1))
    y = layers.ReLU()(conv_norm(y, filters, 3, strides))
    return _join(x, conv_norm(y, 4 * filters, 1), strides)


def _join(
    x: keras.KerasTensor, y: keras.KerasTensor, strides: int
) -> keras.KerasTensor:
    """Adds the shortcut, projected where the block changes the shape."""
    if x.shape != y.shape:
        x = conv_norm(x, y.shape[channel_axis()], 1, strides)
    return layers.ReLU()(layers.Add()([x, y]))
