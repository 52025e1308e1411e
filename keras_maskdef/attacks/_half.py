"""Gradients through half precision.

A float16 below 6e-8 is zero, and the loss of an image that a model is sure of has a
gradient far below that. So the gradient by the logits, in float32, is scaled for each
image to where float16 has room, and that by the image back.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

# The largest part of a gradient by logits. Up to 65504 there is room to grow by 256;
# what grows by more is infinite, and reported.
_SIZE = 256.0


def rescaled(pull_back: Callable[[Any], Any], upstream: Any, images: Any) -> Any:
    """A gradient by images, of which nothing underflows on its way.

    Args:
        pull_back: From a gradient by logits to one by images.
        upstream: Gradient by logits, float32 `(views * n, classes)`: one view after the
            other.
        images: `(n, height, width, channels)`.

    Returns:
        `pull_back(upstream)`, but for rounding.
    """
    count = ops.shape(images)[0]
    by_image = ops.reshape(ops.abs(upstream), (-1, count, upstream.shape[-1]))
    largest = ops.max(by_image, axis=(0, 2))
    factor = _SIZE / ops.maximum(largest, 1e-30)
    views = ops.shape(by_image)[0]
    gradient = pull_back(upstream * ops.tile(factor, (views,))[:, None])
    return gradient / ops.reshape(factor, (-1, 1, 1, 1))
