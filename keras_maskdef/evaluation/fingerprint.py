"""Whether two models, or two arrays, are the same, over processes."""

import hashlib
import json
from typing import Any

import keras
import numpy as np

_PLAIN = (int, float, str, bool, type(None))
# Names depend on how many layers a process has made before.
_NAMES = ("name",)


def of_arrays(*arrays: np.ndarray) -> str:
    """A digest of shapes, dtypes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def of_model(model: Any) -> str:
    """A digest of the layers, what they are set to, and the weights.

    Of anything but a Keras model nothing is known but its name.
    """
    if not isinstance(model, keras.Model):
        return f"{type(model).__name__} {getattr(model, '__qualname__', '')}".strip()
    weights = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    layers = json.dumps([_layer(layer) for layer in _layers(model)])
    return of_arrays(np.frombuffer(layers.encode(), "uint8"), *weights)


def _layers(model: Any) -> list[Any]:
    inner = [
        each
        for layer in getattr(model, "layers", ())
        if not isinstance(layer, keras.layers.InputLayer)
        for each in _layers(layer)
    ]
    return [model, *inner]


def _layer(layer: Any) -> list[Any]:
    try:
        config = layer.get_config()
    except NotImplementedError:  # a subclassed model without one
        config = {}
    settings = {
        key: value
        for key, value in sorted(config.items())
        if isinstance(value, _PLAIN) and key not in _NAMES
    }
    return [type(layer).__name__, settings]
