"""Shared parts of the architectures: checked arguments and the channel axis."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

import keras


def image_input(input_shape: Sequence[int], minimum: int) -> keras.KerasTensor:
    """Returns a Keras input for one checked image shape.

    Args:
        input_shape: `(height, width, channels)`, or `(channels, height, width)`
            where `keras.config.image_data_format()` is `"channels_first"`.
        minimum: Smallest height and width the architecture takes.

    Raises:
        ValueError: `input_shape` is not three positive integers, or the image
            is smaller than `minimum` on one side.
    """
    first = channel_axis() == 1
    names = "(channels, height, width)" if first else "(height, width, channels)"
    shape = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
    if len(shape) != 3 or not all(is_integer(size) and size > 0 for size in shape):
        raise ValueError(
            f"`input_shape` must be {names}, three positive integers without the "
            f"batch. Received: input_shape={input_shape}"
        )
    if min(shape[1:] if first else shape[:2]) < minimum:
        raise ValueError(
            f"`input_shape` must be {names} with at least {minimum} pixels in height "
            "and width, or the poolings leave nothing. "
            f"Received: input_shape={input_shape}"
        )
    return keras.Input([int(size) for size in shape])


def class_count(classes: int) -> int:
    """Returns `classes` as an int, or raises ValueError if it is under 2."""
    if not is_integer(classes) or classes < 2:
        raise ValueError(
            f"`classes` must be an integer of at least 2. Received: classes={classes}"
        )
    return int(classes)


def is_integer(value: object) -> bool:
    """True for Python and NumPy integers, False for booleans."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_positive(value: object) -> bool:
    """True for finite real numbers above 0, False for booleans."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(value) and float(value) > 0


def channel_axis() -> int:
    """The axis of the channels in a batch, as Keras is configured now."""
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def conv_norm(
    x: keras.KerasTensor, filters: int, size: int, strides: int = 1
) -> keras.KerasTensor:
    """Applies a convolution without bias, then a batch normalization.

    The running statistics use momentum 0.9, not Keras's 0.99, as these networks are
    also trained for only a few hundred steps.
    """
    x = keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return keras.layers.BatchNormalization(
        axis=channel_axis(), momentum=0.9, epsilon=1e-5
    )(x)
