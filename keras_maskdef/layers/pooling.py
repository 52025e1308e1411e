"""Poolings of a classifier's logits for several views of an image into one output.

A pooling takes logits `(views, batch, classes)`, or logarithms of probabilities, in at
least float32. It returns `(batch, classes)`: pooled shares, or their logarithms
(`as_logits`). `shares` turns the logits into probabilities.
"""

from typing import Any

import keras
from keras import ops

from keras_maskdef.core.logits import Function, at_least_float32, log_probabilities

# Share that the winner of a tie gets on top; too small to matter elsewhere.
TIE_BREAK = 1e-6


def pool(outputs: Any, pooling: str, from_logits: bool) -> Any:
    """Pools outputs of any dtype, logits or probabilities, to one of their kind."""
    logits = at_least_float32(outputs) if from_logits else log_probabilities(outputs)
    return POOLINGS[pooling](
        logits, from_logits, ops.softmax if from_logits else ops.exp
    )


def majority(logits: Any, as_logits: bool, shares: Function = ops.softmax) -> Any:
    """Shares of the votes, with the gradient of the mean.

    Counting has no gradient. A zero gradient would blind gradient attacks and make
    the vote look safer than it is.
    """
    counted = _shares_of_votes(logits, shares)
    # A class without a vote gets the share of Keras' epsilon.
    smallest = keras.config.epsilon()
    value = ops.log(ops.maximum(counted, smallest)) if as_logits else counted
    surrogate = mean(logits, as_logits, shares)
    return ops.stop_gradient(value) + (surrogate - ops.stop_gradient(surrogate))


def mean(logits: Any, as_logits: bool, shares: Function = ops.softmax) -> Any:
    """The mean of the probabilities."""
    if not as_logits:
        return ops.mean(shares(logits), axis=0)
    logs = ops.log_softmax(logits, axis=-1)
    return ops.logsumexp(logs, axis=0) - ops.log(
        ops.cast(ops.shape(logits)[0], logits.dtype)
    )


def geometric(logits: Any, as_logits: bool, shares: Function = ops.softmax) -> Any:
    """The mean of the log-probabilities, normalised."""
    logs = ops.mean(ops.log_softmax(logits, axis=-1), axis=0)
    normalise = ops.log_softmax if as_logits else ops.softmax
    return normalise(logs, axis=-1)


POOLINGS = {"majority": majority, "mean": mean, "geometric": geometric}


def _shares_of_votes(logits: Any, shares: Function) -> Any:
    """Fractions of the votes; ties go to the class with the larger mean."""
    views = ops.shape(logits)[0]
    counts = ops.sum(_first_largest(logits), axis=0)
    leading = counts == ops.max(counts, axis=-1, keepdims=True)
    average = ops.mean(shares(logits), axis=0)
    won = _first_largest(ops.where(leading, average, -1.0))
    return (1.0 - TIE_BREAK) * counts / views + TIE_BREAK * won


def _first_largest(values: Any) -> Any:
    """Returns 1 at the first largest value of each row and 0 elsewhere.

    `ops.argmax` on TensorFlow cannot be exported to ONNX.
    """
    classes = values.shape[-1]
    number = ops.arange(classes, dtype="int32")
    largest = values == ops.max(values, axis=-1, keepdims=True)
    first = ops.min(ops.where(largest, number, classes), axis=-1, keepdims=True)
    return ops.cast(number == first, values.dtype)
