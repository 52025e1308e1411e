"""A classifier's logits, even if it ends in a softmax.

Logarithms of probabilities are no substitute. A class whose logit is 88 below the
largest has probability zero in float32, and 17 below in float16; zeros have no
gradient. So the input of the softmax is used instead.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_maskdef.core.compat import graph_of, is_symbolic
from keras_maskdef.core.model_graph import once_per_graph
from keras_maskdef.core.output_kind import is_of_keras, scoring_layer

Function = Callable[[Any], Any]

# Smaller probabilities may be flushed to zero.
_SMALLEST = float(np.finfo("float32").tiny)
_HALF = ("float16", "bfloat16")


def logits_of(
    classifier: Any, from_logits: bool, images: Any, exact: bool = False
) -> Any:
    """Calls a classifier in inference mode and returns logits in at least float32.

    If the classifier returns probabilities, the input of its softmax is returned, or
    the logarithms of its probabilities if no softmax is visible.

    Args:
        classifier: Keras model or layer from images to `(batch, classes)`.
        from_logits: Whether it returns logits.
        images: `(batch, height, width, channels)`.
        exact: Whether to raise for logarithms of probabilities in half precision, most
            of which are zero.
    """
    through = None if from_logits else look_through(classifier)
    if through is not None:
        return at_least_float32(through(images))
    outputs = classifier(images, training=False)
    if from_logits:
        return at_least_float32(outputs)
    if exact:
        check_precision(classifier, outputs)
    return log_probabilities(outputs)


def shares_of(classifier: Any, from_logits: bool) -> Function:
    """A function from the result of `logits_of` to probabilities.

    If `logits_of` returns logarithms it is `exp`: sigmoids need not sum to one.
    """
    if not from_logits and look_through(classifier) is None:
        return ops.exp
    return ops.softmax


def look_through(model: Any) -> Function | None:
    """A function from images to the logits before a model's final softmax.

    It runs in inference mode, shares all weights, and does not change the model.

    Args:
        model: Keras model or layer that returns probabilities, or one of this library
            with a method `_look_through()`.

    Returns:
        The function. None if no softmax is visible: in a subclassed model, a custom
        layer or a quantized one.
    """
    if hasattr(model, "_look_through"):
        return model._look_through()
    if _is_softmax(model):
        return _itself
    if _is_dense_softmax(model):
        return lambda inputs: _before_activation(model, inputs)
    graph = graph_of(model)
    output = getattr(graph, "output", None)
    if not hasattr(graph, "operations") or not is_symbolic(output):
        return None
    if not _calls_its_graph(model):
        return None
    layer, node, passing = scoring_layer(output)
    if len(graph.inputs) != 1 or len(node.input_tensors) != 1:
        return None
    rank = len(node.output_tensors[0].shape)
    inner = None if layer is model or rank != 2 else look_through(layer)
    if inner is None:
        return None
    before = _before_the_scores(graph)

    def logits(images: Any) -> Any:
        scores = inner(before(images, training=False))
        for layer_after in reversed(passing):
            scores = layer_after(scores)
        return scores

    return logits


def log_probabilities(probabilities: Any) -> Any:
    """Logarithms in at least float32, clipped below at its smallest normal number.

    Keras' epsilon, 1e-7, would zero the gradients of all classes whose logits are 16
    below the largest.
    """
    probabilities = at_least_float32(probabilities)
    return ops.log(ops.maximum(probabilities, _SMALLEST))


def at_least_float32(outputs: Any) -> Any:
    """Casts outputs to float32; float64 stays."""
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    return ops.cast(outputs, keras.backend.result_type(dtype, "float32"))


def check_precision(model: Any, probabilities: Any) -> None:
    """Raises for probabilities in half precision, which an attack cannot use."""
    dtype = keras.backend.standardize_dtype(probabilities.dtype)
    if dtype in _HALF:
        raise ValueError(
            f"`model` must return logits, or probabilities in float32: in {dtype} most "
            "are zero, and attacks that follow their gradients look weaker than they "
            "are. End it in logits or in a softmax layer, which is looked through, or "
            "give its last layer `dtype='float32'`. "
            f"Received: model={model!r}, outputs in {dtype}"
        )


def _itself(inputs: Any) -> Any:
    return inputs


@once_per_graph
def _before_the_scores(graph: Any) -> keras.Model:
    """The model up to the scores; not a clone, so layers get no new nodes."""
    _, node, _ = scoring_layer(graph.output)
    return keras.Model(graph.inputs[0], node.input_tensors[0])


def _calls_its_graph(model: Any) -> bool:
    """Whether a functional or sequential model has no `call` of its own."""
    return all(
        next(
            kind for kind in type(model).__mro__ if name in vars(kind)
        ).__module__.startswith("keras.")
        for name in ("call", "__call__")
    )


def _is_softmax(layer: Any) -> bool:
    """A layer or an operation of Keras that is a softmax and nothing else."""
    if type(layer) is keras.layers.Activation:
        return layer.activation is keras.activations.softmax
    return is_of_keras(layer, "Softmax") and layer.axis in (-1, 1, [-1], [1])


def _is_dense_softmax(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.Dense
        and layer.activation is keras.activations.softmax
        and getattr(layer, "quantization_mode", None) is None
    )


def _before_activation(dense: Any, inputs: Any) -> Any:
    """The input of a dense layer's activation, in the layer's precision."""
    dtype = dense.compute_dtype
    scores = ops.matmul(ops.cast(inputs, dtype), ops.cast(dense.kernel, dtype))
    return scores if dense.bias is None else scores + ops.cast(dense.bias, dtype)
