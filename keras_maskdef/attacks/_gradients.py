"""Gradients by images alone."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras_maskdef._extra import require

# Of labels and logits, to one number for each image.
Loss = Callable[[Any, Any], Any]


class CompiledLoss(NamedTuple):
    """Of images and labels: one loss each, and these with the sum's gradient."""

    values: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], tuple[Any, Any]]


def by_images_only(function: Callable[[Any], Any]) -> Any:
    """The function with no gradient by weights, for attacks that use own tapes.

    VGG16's filters would else be half of the work of its backward pass.
    """
    tf = require("tensorflow", "attacks")

    @tf.custom_gradient
    def wrapped(images: Any) -> tuple[Any, Callable]:
        # Persistent, as an outer function that is traced asks for it once more.
        with tf.GradientTape(True, watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = function(images)

        def gradient(upstream: Any, variables: Any = ()) -> Any:
            by_images = tape.gradient(outputs, images, upstream)
            return (by_images, [None] * len(variables)) if variables else by_images

        return outputs, gradient

    return wrapped
