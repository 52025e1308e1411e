"""How a classifier's outputs for several views of an image become one output.

Each pooling takes outputs `(views, batch, classes)`, logits or probabilities, in
at least float32, and returns `(batch, classes)` of the same kind: probabilities
that sum to one, or their logarithms.
"""

from typing import Any

import keras
from keras import ops

# Puts the winner of a tie first; a millionth of the votes is invisible otherwise.
TIE_BREAK = 1e-6


def pool(outputs: Any, pooling: str, from_logits: bool) -> Any:
    """Pools outputs of any dtype."""
    return POOLINGS[pooling](_at_least_float32(outputs), from_logits)


def probabilities(outputs: Any, from_logits: bool) -> Any:
    """A classifier's outputs as probabilities in at least float32."""
    outputs = _at_least_float32(outputs)
    return ops.softmax(outputs, axis=-1) if from_logits else outputs


def majority(outputs: Any, from_logits: bool) -> Any:
    """Shares of the votes, with the gradient of the mean.

    Counting has no gradient of its own. A zero one would blind gradient attacks,
    and so make the vote look safer than it is.
    """
    shares = _shares_of_votes(outputs, from_logits)
    value = _log(shares) if from_logits else shares
    surrogate = mean(outputs, from_logits)
    return ops.stop_gradient(value) + (surrogate - ops.stop_gradient(surrogate))


def mean(outputs: Any, from_logits: bool) -> Any:
    """The mean of the probabilities."""
    if not from_logits:
        return ops.mean(outputs, axis=0)
    logs = ops.log_softmax(outputs, axis=-1)
    return ops.logsumexp(logs, axis=0) - ops.log(
        ops.cast(ops.shape(outputs)[0], outputs.dtype)
    )


def geometric(outputs: Any, from_logits: bool) -> Any:
    """The mean of the log-probabilities, normalised."""
    if from_logits:
        logs = ops.mean(ops.log_softmax(outputs, axis=-1), axis=0)
        return ops.log_softmax(logs, axis=-1)
    return ops.softmax(ops.mean(_log(outputs), axis=0), axis=-1)


POOLINGS = {"majority": majority, "mean": mean, "geometric": geometric}


def _shares_of_votes(outputs: Any, from_logits: bool) -> Any:
    """Fractions of the votes; ties go to the class with the larger mean."""
    views = ops.shape(outputs)[0]
    counts = ops.sum(_first_largest(outputs), axis=0)
    leading = counts == ops.max(counts, axis=-1, keepdims=True)
    average = ops.mean(probabilities(outputs, from_logits), axis=0)
    won = _first_largest(ops.where(leading, average, -1.0))
    return (1.0 - TIE_BREAK) * counts / views + TIE_BREAK * won


def _first_largest(values: Any) -> Any:
    """One where a row has its largest value, the first of several; zero elsewhere.

    `ops.argmax` on TensorFlow cannot be exported to ONNX.
    """
    classes = values.shape[-1]
    number = ops.arange(classes, dtype="int32")
    largest = values == ops.max(values, axis=-1, keepdims=True)
    first = ops.min(ops.where(largest, number, classes), axis=-1, keepdims=True)
    return ops.cast(number == first, values.dtype)


def _at_least_float32(outputs: Any) -> Any:
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    return ops.cast(outputs, keras.backend.result_type(dtype, "float32"))


def _log(shares: Any) -> Any:
    """Logarithms; shares below Keras' epsilon count as that, so none is -inf."""
    return ops.log(ops.maximum(shares, keras.config.epsilon()))
