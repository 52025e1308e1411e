"""Gradients through half precision.

A float16 below 6e-8 is zero. If a model is sure of an image, the gradient of its loss
is far below that. So the gradient by the logits, in float32, is scaled for each image
to the range of float16, and the gradient by the image is scaled back.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

# Scales for the largest part of a gradient by logits. The first leaves room to grow by
# 256, up to 65504; an image whose gradient grows by more takes the second.
_SIZES = 256.0, 1.0


def rescaled(pull_back: Callable[[Any], Any], upstream: Any, images: Any) -> Any:
    """A gradient by images that does not underflow if it is small at the logits.

    Args:
        pull_back: Function from a gradient by logits to one by images.
        upstream: Gradient by logits, float32 `(views * n, classes)`, one view after the
            other.
        images: `(n, height, width, channels)`.

    Returns:
        `pull_back(upstream)`, up to rounding.
    """
    count = ops.shape(images)[0]
    by_image = ops.reshape(ops.abs(upstream), (-1, count, upstream.shape[-1]))
    largest = ops.max(by_image, axis=(0, 2))
    views = ops.shape(by_image)[0]

    def at(size: float) -> Any:
        factor = size / ops.maximum(largest, 1e-30)
        gradient = pull_back(upstream * ops.tile(factor, (views,))[:, None])
        return gradient / ops.reshape(factor, (-1, 1, 1, 1))

    large, small = map(at, _SIZES)
    fits = ops.all(ops.isfinite(large), axis=(1, 2, 3), keepdims=True)
    return ops.where(fits, large, small)
