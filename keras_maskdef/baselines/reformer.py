"""MagNet's reformer."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_maskdef.architectures._parts import channel_axis, image_input
from keras_maskdef.core.arguments import check_positive_int
from keras_maskdef.core.value_range import (
    UNIT,
    ValueRange,
    check_value_range,
    span,
)
from keras_maskdef.evaluation.defence import Defence


def autoencoder(input_shape: Sequence[int], width: int = 32) -> keras.Model:
    """A small convolutional autoencoder, to be trained as a reformer.

    Two 3x3 convolutions of `width` filters with ReLU, and one back to the image's
    channels with a sigmoid. It is not one of MagNet's own networks. Train it like them,
    on clean images without labels: to remove a little noise added to them, by the mean
    squared error.

    Args:
        input_shape: `(height, width, channels)`, of any size.
        width: Integer, filters of each hidden layer.

    Returns:
        An uncompiled functional `keras.Model` named `"autoencoder"`, from images
        `(batch, *input_shape)` in [0, 1] to such images, float32.

    Raises:
        ValueError: For an `input_shape` that is not three positive integers, or a
            `width` below 1.

    Example:

    >>> autoencoder((8, 8, 3), width=4).output_shape
    (None, 8, 8, 3)

    Reference:
        Meng, Chen: MagNet, CCS 2017, section on the reformer.
    """
    width = check_positive_int("width", width)
    x = inputs = image_input(input_shape, minimum=1)
    for _ in range(2):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    channels = inputs.shape[channel_axis()]
    outputs = layers.Conv2D(channels, 3, padding="same", activation="sigmoid")(x)
    return keras.Model(inputs, outputs, name="autoencoder")


def reformed(
    classifier: keras.Model,
    autoencoder: keras.Model,
    value_range: Sequence[float] = UNIT,
) -> Defence:
    """Classifies the output of an autoencoder for the image.

    MagNet's detectors, which reject images that the autoencoder changes much, are not
    implemented: nothing is rejected.

    Args:
        classifier: Keras model from images in `value_range`, `(batch, height, width,
            channels)`, to `(batch, classes)`.
        autoencoder: Built and trained Keras model from images in [0, 1], whatever
            `value_range` is, to images of the same shape in [0, 1].
        value_range: The lowest and the highest value of the images that the classifier
            takes, such as `(0, 255)`.

    Returns:
        A `Defence`, for `evaluate`. White box and gray box are both the classifier
        behind the autoencoder, as the autoencoder is learned. It shares their weights.

    Gradient:
        Through the autoencoder and the classifier.

    Raises:
        TypeError: For parts that are no Keras models.
        ValueError: For an autoencoder that is not built or returns images of another
            shape, or an invalid `value_range`.

    Example:

    >>> import numpy as np
    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> defence = reformed(classifier, autoencoder((8, 8, 1), width=4))
    >>> defence.outputs(np.zeros((5, 8, 8, 1), "float32")).shape
    (5, 3)

    Reference:
        Meng, Chen: MagNet: A Two-Pronged Defense against Adversarial Examples, CCS
        2017, section on the reformer; a baseline of MAD (2022).
    """
    for name, part in (("classifier", classifier), ("autoencoder", autoencoder)):
        if not isinstance(part, keras.Model):
            raise TypeError(
                f"`{name}` must be a Keras model. Received: {name}={part!r}"
            )
    shape = getattr(autoencoder, "input_shape", None) if autoencoder.built else None
    if shape is None or tuple(shape) != tuple(autoencoder.output_shape):
        raise ValueError(
            "`autoencoder` must be built, and give images of the shape that it takes. "
            f"Received: autoencoder={autoencoder!r}, input shape {shape}"
        )
    bounds = check_value_range(value_range)
    inputs = keras.Input(tuple(shape)[1:])
    reform = autoencoder if bounds == UNIT else _in_range(autoencoder, bounds)
    whole = keras.Model(inputs, classifier(reform(inputs)), name="reformed")
    return Defence(whole, classifier, (whole,), whole, bounds)


def _in_range(autoencoder: keras.Model, value_range: ValueRange) -> keras.Model:
    """The autoencoder between a rescaling to [0, 1] and one back."""
    low, size = value_range[0], span(value_range)
    return keras.Sequential(
        [
            layers.Rescaling(1.0 / size, -low / size),
            autoencoder,
            layers.Rescaling(size, low),
        ]
    )
