"""The range of images that a model takes, told by its first layers."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_maskdef.layers._agreement import value_ranges
from keras_maskdef.layers._value_range import UNIT, ValueRange
from keras_maskdef.layers.random_grid_mask import RandomGridMask
from keras_maskdef.layers.voting_ensemble import VotingEnsemble

BYTES: ValueRange = (0.0, 255.0)
SIGNED: ValueRange = (-1.0, 1.0)
# What networks compute on: what a `Rescaling` makes of images.
_INNER = (UNIT, SIGNED, BYTES)
# 1/256 for 1/255, 1/128 for 1/127.5.
_CLOSE = 0.02
_KEEPS_VALUES = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Resizing,
    keras.layers.CenterCrop,
    keras.layers.Dropout,
    keras.layers.ZeroPadding2D,
    keras.layers.RandomFlip,
    keras.layers.RandomCrop,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    RandomGridMask,
)


def value_range_of(model: Any) -> ValueRange | None:
    """The lowest and the highest value of the images that a model takes.

    It is told by this library's filters and maskers that see the images as they are,
    by a `Rescaling` or a `Normalization` at the beginning, or by a preprocessor of
    KerasHub.

    Args:
        model: Keras model.

    Returns:
        `(0.0, 1.0)`, `(0.0, 255.0)`, `(-1.0, 1.0)`, or the range of the filters; None
        if nothing tells.

    Example:

    >>> import keras
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255)]
    >>> value_range_of(keras.Sequential(layers))
    (0.0, 255.0)
    """
    own = {*value_ranges(model).values()}
    if own:
        return own.pop() if len(own) == 1 else None
    for layer in _from_the_input(model):
        if isinstance(layer, keras.layers.Rescaling):
            if np.any(np.asarray(layer.scale) != 1) or np.any(layer.offset):
                return _before_rescaling(layer)
            continue
        if isinstance(layer, keras.layers.Normalization):
            return _before_normalization(layer)
        if _is_of_keras_hub(layer):
            return BYTES
        if not isinstance(layer, _KEEPS_VALUES):
            return None
    return None


def _from_the_input(model: Any) -> Iterator[Any]:
    """Layers in the order in which an image meets them, nested ones included."""
    if isinstance(model, VotingEnsemble):
        model = model.classifier
    graph = getattr(model, "_functional", None) or model
    layers = getattr(graph, "operations", None) or getattr(graph, "layers", None)
    # Preprocessors of KerasHub are known as they are.
    if not isinstance(model, keras.Model) or layers is None:
        yield model
        return
    for layer in layers:
        yield from _from_the_input(layer)


def _before_rescaling(layer: Any) -> ValueRange | None:
    scale, offset = np.asarray(layer.scale, float), np.asarray(layer.offset, float)
    for low, high in (BYTES, UNIT, SIGNED):
        made = np.array([low * scale + offset, high * scale + offset])
        for inner in _INNER:
            allowed = _CLOSE * (inner[1] - inner[0])
            expected = np.reshape(inner, (2,) + (1,) * (made.ndim - 1))
            if np.all(abs(made - expected) <= allowed):
                return low, high
    return None


def _before_normalization(layer: Any) -> ValueRange | None:
    """By the mean, and by the variance that images of that mean can have."""
    if getattr(layer, "mean", None) is None:
        return None
    mean = keras.ops.convert_to_numpy(layer.mean).astype(float)
    variance = keras.ops.convert_to_numpy(layer.variance).astype(float)
    for low, high in (UNIT, BYTES):
        # The Bhatia-Davis inequality, with room for rounding.
        most = (high - mean) * (mean - low)
        if (mean > low).all() and (variance <= 1.001 * most).all():
            return low, high
    return None


def _is_of_keras_hub(layer: Any) -> bool:
    own = type(layer).__module__.startswith("keras_hub.")
    names = {kind.__name__ for kind in type(layer).__mro__}
    return own and bool(names & {"Preprocessor", "ImageConverter"})
