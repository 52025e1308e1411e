"""Attention U-Net for masks of small images."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_maskdef.architectures._parts import (
    channel_axis,
    conv_norm,
    image_input,
    is_integer,
)


def attention_unet(
    input_shape: Sequence[int] = (32, 32, 3),
    widths: int | Sequence[int] = (16, 32, 64, 128, 256),
    depth: int | None = None,
) -> keras.Model:
    """Builds an Attention U-Net from an image to a map of one channel in [0, 1].

    The encoder has two 3x3 convolutions per scale and halves the resolution between
    scales. The decoder doubles the resolution, concatenates the encoder's features of
    that scale and convolves twice. The encoder's features first pass an additive
    attention gate, in which the coarser features weight them pixel by pixel. A 1x1
    convolution and a sigmoid give the map.

    With the default widths, those of the authors' code: 2.23 million weights and 65
    million multiply-adds for a 32x32x3 image, 260 million for 64x64x3. With `(16, 32,
    64)`: 0.13 million weights and 34 million or 136 million multiply-adds. With four
    times the default widths, as in other implementations: 35.6 million and 1034 million
    or 4135 million.

    Args:
        input_shape: `(height, width, channels)`, at least 8x8; `(channels, height,
            width)` where Keras is set to `channels_first`. A size that `2**depth`
            does not divide is padded with zeros on all sides, and the map is cut to
            the image's size again.
        widths: Filters of each scale, finest first, `depth + 1` of them. An integer
            is the number for the finest scale, doubled from scale to scale.
        depth: How often the resolution is halved, at least 1. By default one less
            than the number of `widths`; required if `widths` is an integer.

    Returns:
        An uncompiled functional `keras.Model` named `"attention_unet"`, from float
        images `(batch, *input_shape)` in [0, 1] to a float32 map `(batch, height,
        width, 1)` (or with the channel first) in [0, 1].

    Raises:
        ValueError: `input_shape` is not three positive integers or is under 8x8,
            `widths` are not positive integers, or `depth` does not fit them.

    Example:

    ```python
    from keras_maskdef.architectures import attention_unet

    network = attention_unet(input_shape=(28, 28, 1), widths=(8, 16, 32))
    assert network.output_shape == (None, 28, 28, 1)
    ```

    Reference:
        Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas",
        MIDL 2018, sections 2.1 and 2.2; the mask generator of SFM-Defense, section
        6.1.
    """
    filters = _filters(widths, depth)
    inputs = image_input(input_shape, minimum=8)
    margins = _margins(inputs.shape, 2 ** (len(filters) - 1))
    x = inputs if margins is None else layers.ZeroPadding2D(margins)(inputs)
    scales = []
    for width in filters[:-1]:
        scales.append(_twice(x, width))
        x = layers.MaxPooling2D()(scales[-1])
    x = _twice(x, filters[-1])
    for width, fine in zip(reversed(filters[:-1]), reversed(scales), strict=True):
        gated = _attention_gate(fine, x, width)
        x = layers.ReLU()(conv_norm(layers.UpSampling2D()(x), width, 3))
        x = _twice(layers.Concatenate(axis=channel_axis())([gated, x]), width)
    # In float32: near 1, a mask in bfloat16 could only move in steps of 1/256.
    x = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32")(x)
    outputs = x if margins is None else layers.Cropping2D(margins)(x)
    return keras.Model(inputs, outputs, name="attention_unet")


def _filters(widths: int | Sequence[int], depth: int | None) -> list[int]:
    if depth is not None and (not is_integer(depth) or depth < 1):
        raise ValueError(
            f"`depth` must be an integer of at least 1. Received: depth={depth!r}"
        )
    if is_integer(widths):
        if depth is None:
            raise ValueError(
                "`depth` must be given where `widths` is one number. "
                f"Received: widths={widths!r}, depth=None"
            )
        widths = [int(widths) * 2**scale for scale in range(depth + 1)]  # type: ignore[arg-type]
    filters = list(widths) if isinstance(widths, Sequence) else []
    if len(filters) < 2 or not all(is_integer(w) and w > 0 for w in filters):
        raise ValueError(
            "`widths` must be an integer above 0, or at least two of them, finest "
            f"scale first. Received: widths={widths!r}"
        )
    if depth is not None and len(filters) != depth + 1:
        raise ValueError(
            "`widths` must be one more than `depth`. "
            f"Received: widths={widths!r}, depth={depth}"
        )
    return [int(width) for width in filters]


def _margins(shape: tuple, multiple: int) -> tuple | None:
    """Returns `((above, below), (left, right))`, or None where both sides fit."""
    sides = shape[2:] if channel_axis() == 1 else shape[1:3]
    missing = [-side % multiple for side in sides]
    if not any(missing):
        return None
    return tuple((less // 2, less - less // 2) for less in missing)


def _twice(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    for _ in range(2):
        x = layers.ReLU()(conv_norm(x, width, 3))
    return x


def _attention_gate(
    fine: keras.KerasTensor, coarse: keras.KerasTensor, width: int
) -> keras.KerasTensor:
    """Multiplies `fine` by attention coefficients; `coarse` has half its resolution."""
    units = max(1, width // 2)
    # Computed at the coarser scale; only the coefficients are upsampled.
    theta = layers.Conv2D(units, 2, strides=2, use_bias=False)(fine)
    phi = layers.Conv2D(units, 1)(coarse)
    joint = layers.ReLU()(layers.Add()([theta, phi]))
    attention = layers.Conv2D(1, 1, activation="sigmoid")(joint)
    attention = layers.UpSampling2D(interpolation="bilinear")(attention)
    return layers.Multiply()([fine, attention])
