"""The logits of a model, in the form that attacks differentiate."""

from typing import Any

import keras
from keras import ops

from keras_maskdef.core.logits import (
    Function,
    at_least_float32,
    check_precision,
    log_probabilities,
    look_through,
)
from keras_maskdef.core.output_kind import judge_from_logits


def called(model: Any, images: Any) -> Any:
    """The model's outputs in inference mode."""
    if isinstance(model, keras.layers.Layer):
        return model(images, training=False)
    return model(images)


def model_logits(model: Any, images: Any) -> Function:
    """Returns a function from images to logits in at least float32.

    Args:
        model: Keras model, or a function of images.
        images: Some real images. The outputs for them tell probabilities from logits.

    Raises:
        ValueError: For outputs that are neither, or for probabilities in half precision
            whose logits cannot be recovered.
    """
    outputs = called(model, images)
    if judge_from_logits(model, ops.convert_to_numpy(ops.cast(outputs, "float32"))):
        return lambda images: at_least_float32(called(model, images))
    through = look_through(model)
    if through is not None:
        return lambda images: at_least_float32(through(images))
    check_precision(model, outputs)
    return lambda images: log_probabilities(called(model, images))
