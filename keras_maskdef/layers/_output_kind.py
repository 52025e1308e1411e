"""Whether a classifier returns logits or probabilities."""

from typing import Any

import keras
import numpy as np


def infer_from_logits(classifier: Any) -> bool:
    """Reads it off the classifier's last layer.

    Raises:
        ValueError: If the last layer or its activation does not tell.
    """
    known = _told_by_last_layer(classifier)
    if known is None:
        raise ValueError(
            "`from_logits` must be given: whether the classifier returns logits (True) "
            "or probabilities (False) cannot be read off its last layer. "
            f"Received: from_logits=None, classifier={classifier!r}"
        )
    return known


def judge_from_logits(classifier: Any, outputs: Any) -> bool:
    """Reads it off the last layer, and off outputs for real images.

    Outputs that are probabilities on every image are taken for such whatever the
    last layer says: a custom one often says nothing, or has a linear activation
    before a softmax of its own.
    """
    told = _told_by_last_layer(classifier)
    outputs = np.asarray(outputs)
    if told is False or _are_probabilities(outputs):
        return False
    sigmoid = _activation(classifier) is keras.activations.sigmoid
    if sigmoid or (told is None and _within_one(outputs)):
        raise ValueError(
            "`model` must return logits, or probabilities that sum to 1 on each image. "
            f"Received: outputs from {outputs.min():.3g} to {outputs.max():.3g} that "
            f"sum to {outputs.sum(-1).min():.3g} to {outputs.sum(-1).max():.3g}, as of "
            "a sigmoid; where they are logits, set `from_logits = True` on the model"
        )
    return True


def _are_probabilities(outputs: np.ndarray) -> bool:
    sums = outputs.sum(-1)
    return bool(outputs.size and (outputs >= 0).all() and np.allclose(sums, 1, 0, 1e-3))


def _within_one(outputs: np.ndarray) -> bool:
    return bool(outputs.size and outputs.min() >= 0 and outputs.max() <= 1)


def _activation(classifier: Any) -> Any:
    return getattr(_last_layer(classifier), "activation", None)


def _told_by_last_layer(classifier: Any) -> bool | None:
    layer = _last_layer(classifier)
    known = getattr(layer, "from_logits", None)
    if isinstance(known, bool):
        return known
    if isinstance(layer, keras.layers.Softmax):
        return False
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.linear:
        return True
    if activation is keras.activations.softmax:
        return False
    return None


def _last_layer(model: Any) -> Any:
    """The layer behind a model's output, looked up through nested models."""
    if isinstance(model, keras.Sequential) and model.layers:
        return _last_layer(model.layers[-1])
    history = getattr(getattr(model, "output", None), "_keras_history", None)
    layer = getattr(history, "operation", model)
    # A subclassed model that was called on a symbolic image is its own layer.
    if isinstance(model, keras.Model) and layer is not model:
        return _last_layer(layer)
    return model
