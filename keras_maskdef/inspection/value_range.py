"""The value range of the images that a model takes, inferred from its first layers."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_maskdef.core.compat import graph_of, nodes_of
from keras_maskdef.core.value_range import UNIT, ValueRange
from keras_maskdef.inspection.agreement import value_ranges
from keras_maskdef.layers.median_filter import MedianFilter
from keras_maskdef.layers.random_grid_mask import RandomGridMask
from keras_maskdef.layers.voting_ensemble import VotingEnsemble

BYTES: ValueRange = (0.0, 255.0)
SIGNED: ValueRange = (-1.0, 1.0)
# Ranges that images may have before a `Rescaling`, and after it.
_RANGES = (UNIT, SIGNED, BYTES)
# Tolerance that accepts 1/256 for 1/255 and 1/128 for 1/127.5.
_CLOSE = 0.02
# Images on [0, 255] have a larger mean and deviation; darker ones show no range.
_LEAST = 2.0
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
    MedianFilter,
    RandomGridMask,
)


def value_range_of(model: Any) -> ValueRange | None:
    """The lowest and the highest value of the images that a model takes.

    The range is inferred from this library's filters and maskers that get the images
    unchanged, from a `Rescaling` or a `Normalization` at the beginning, or from a
    preprocessor of KerasHub.

    Args:
        model: Keras model.

    Returns:
        `(0.0, 1.0)`, `(0.0, 255.0)`, `(-1.0, 1.0)`, or the range of the filters; None
        if it cannot be inferred.

    Example:

    >>> import keras
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255)]
    >>> value_range_of(keras.Sequential(layers))
    (0.0, 255.0)
    """
    stated = {*value_ranges(model).values()}
    if stated:
        return stated.pop() if len(stated) == 1 else None
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
    """Yields layers in the order in which an image passes them, nested ones included.

    It ends where the path of an image branches, or with a model without a graph.
    """
    if isinstance(model, VotingEnsemble):
        model = model.classifier
    graph = graph_of(model) or model
    nodes = nodes_of(graph)
    if not nodes or len(graph.inputs) > 1:
        yield model
        return
    tensor = graph.inputs[0]
    while len(users := [n for n in nodes if _takes(n, tensor)]) == 1:
        yield from _from_the_input(users[0].operation)
        tensor = users[0].output_tensors[0]


def _takes(node: Any, tensor: Any) -> bool:
    return any(taken is tensor for taken in node.input_tensors)


def _before_rescaling(layer: Any) -> ValueRange | None:
    """The only range that the layer maps to one of `_RANGES`, if there is only one."""
    scale, offset = np.asarray(layer.scale, float), np.asarray(layer.offset, float)
    ranges = [
        (low, high)
        for low, high in _RANGES
        if any(
            _is_near(low * scale + offset, high * scale + offset, x) for x in _RANGES
        )
    ]
    return ranges[0] if len(ranges) == 1 else None


def _is_near(lowest: Any, highest: Any, inner: ValueRange) -> bool:
    allowed = _CLOSE * (inner[1] - inner[0])
    ends = (abs(lowest - inner[0]), abs(highest - inner[1]))
    return all(bool(np.all(end <= allowed)) for end in ends)


def _before_normalization(layer: Any) -> ValueRange | None:
    """The range that fits the mean, and the variance possible for that mean."""
    if getattr(layer, "mean", None) is None or layer.invert:
        return None
    mean = keras.ops.convert_to_numpy(layer.mean).astype(float)
    variance = keras.ops.convert_to_numpy(layer.variance).astype(float)
    for (low, high), least in ((UNIT, 0.0), (BYTES, _LEAST)):
        # The Bhatia-Davis inequality, with room for rounding.
        most = 1.001 * (high - mean) * (mean - low)
        enough = (mean > least).all() and (variance > least**2).all()
        if enough and (variance <= most).all():
            return low, high
    return None


def _is_of_keras_hub(layer: Any) -> bool:
    is_from_hub = type(layer).__module__.startswith("keras_hub.")
    names = {kind.__name__ for kind in type(layer).__mro__}
    return is_from_hub and bool(names & {"Preprocessor", "ImageConverter"})
