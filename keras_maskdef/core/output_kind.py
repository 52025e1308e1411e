"""Whether a classifier returns logits or probabilities."""

from typing import Any

import keras
import numpy as np

from keras_maskdef.core.compat import graph_of, is_symbolic, origin_of

_PASSING = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Reshape,
)


def infer_from_logits(classifier: Any) -> bool:
    """Infers from the classifier's last layer whether it returns logits.

    Raises:
        ValueError: If neither the last layer nor its activation determines it.
    """
    from_logits = _told_by_last_layer(classifier)
    if from_logits is None:
        raise ValueError(
            "`from_logits` must be given: whether the classifier returns logits (True) "
            "or probabilities (False) cannot be read off its last layer. Give it to "
            'VotingEnsemble, or to `defend` as `voting={"mask": mask, "from_logits": '
            "...}`, or set it on the classifier: `classifier.from_logits = True`. "
            f"Received: from_logits=None, classifier={classifier!r}"
        )
    return from_logits


def judge_from_logits(classifier: Any, outputs: Any) -> bool:
    """Infers from the last layer, and from outputs for real images.

    Outputs that are probabilities on every image count as probabilities, whatever the
    last layer declares: a custom layer often declares nothing, or has a linear
    activation before its own softmax.
    """
    declared = _told_by_last_layer(classifier)
    outputs = np.asarray(outputs)
    if declared is False or _are_probabilities(outputs):
        return False
    sigmoid = _activation(classifier) is keras.activations.sigmoid
    if sigmoid or (declared is None and _within_one(outputs)):
        raise ValueError(
            "`model` must return logits, or probabilities that sum to 1 on each image. "
            f"Received: outputs from {outputs.min():.3g} to {outputs.max():.3g} that "
            f"sum to {outputs.sum(-1).min():.3g} to {outputs.sum(-1).max():.3g}, as of "
            "a sigmoid; where they are logits, set `from_logits = True` on the model"
        )
    return True


def check_scores(classifier: Any, output: Any, fewest: int = 1) -> tuple:
    """Returns the shape `(batch, classes)` of a classifier's output.

    Raises:
        ValueError: For another shape, or fewer classes than `fewest`.
    """
    shape = getattr(output, "shape", None)
    if shape is None:
        raise ValueError(
            "`classifier` must return one tensor of the shape (batch, classes). Take "
            "one out of several, `keras.Model(classifier.inputs, "
            "classifier.outputs[0])`; those of a dict are in the order of its keys. "
            f"Received: classifier={classifier!r}, which returns {output}"
        )
    if len(shape) != 2 or shape[-1] is None:
        raise ValueError(
            "`classifier` must return one tensor of the shape (batch, classes). "
            f"Received: classifier={classifier!r}, which returns {output}"
        )
    if shape[-1] < fewest:
        raise ValueError(
            f"`classifier` must return scores of {fewest} classes or more for a vote. "
            "Of a single probability p make two, `keras.Model(classifier.inputs, "
            "keras.ops.concatenate([1 - p, p], axis=-1))` with "
            "`p = classifier.outputs[0]`, and give `from_logits=False`. "
            f"Received: classifier={classifier!r}, which returns {output}"
        )
    return tuple(shape)


def is_of_keras(layer: Any, name: str) -> bool:
    """Whether it is Keras' own layer or operation of that name, not a subclass."""
    kind = type(layer)
    return kind.__name__ == name and kind.__module__.startswith("keras.")


def scoring_layer(output: Any) -> tuple[Any, Any, list[Any]]:
    """The layer that computes an output's scores, its node, and the layers after it.

    The layers after it pass scores on unchanged, last one first. An example is the
    linear activation in float32 at the end of a model in mixed precision.
    """
    passing: list[Any] = []
    layer, node = origin_of(output)
    while _passes_on(layer):
        passing.append(layer)
        (before,) = node.input_tensors
        layer, node = origin_of(before)
    return layer, node, passing


def _are_probabilities(outputs: np.ndarray) -> bool:
    sums = outputs.sum(-1)
    return bool(outputs.size and (outputs >= 0).all() and np.allclose(sums, 1, 0, 1e-3))


def _within_one(outputs: np.ndarray) -> bool:
    return bool(outputs.size and outputs.min() >= 0 and outputs.max() <= 1)


def _activation(classifier: Any) -> Any:
    return getattr(_last_layer(classifier), "activation", None)


def _told_by_last_layer(classifier: Any) -> bool | None:
    layer = _last_layer(classifier)
    for part in (classifier, layer):
        declared = getattr(part, "from_logits", None)
        if isinstance(declared, bool):
            return declared
    if isinstance(layer, keras.layers.Softmax):
        return False
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.linear:
        return True
    if activation is keras.activations.softmax:
        return False
    return None


def _last_layer(model: Any) -> Any:
    """The layer that computes a model's scores, also inside nested models."""
    graph = graph_of(model)
    if graph is None and model.layers:  # a Sequential model that is not built
        return _last_layer(model.layers[-1])
    output: Any = getattr(graph, "output", None)
    layer: Any = model
    if is_symbolic(output):
        layer, _, _ = scoring_layer(output)
    # A subclassed model that was called on a symbolic image is its own layer.
    if isinstance(model, keras.Model) and layer is not model:
        return _last_layer(layer)
    return model


def _passes_on(layer: Any) -> bool:
    linear = getattr(layer, "activation", None) is keras.activations.linear
    if is_of_keras(layer, "Cast"):
        return True
    return isinstance(layer, _PASSING) or (
        isinstance(layer, keras.layers.Activation) and linear
    )
