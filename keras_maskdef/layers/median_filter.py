"""Local smoothing by the median."""

from typing import Any

import keras

from keras_maskdef.backend import native
from keras_maskdef.core.arguments import at_least, check_int, ensured, sizes_of
from keras_maskdef.core.image_shape import channels, spatial
from keras_maskdef.kernels._validate import MAX_CHANNELS
from keras_maskdef.layers._median_ops import median, median_gradient
from keras_maskdef.layers.image_filter import ImageFilter


@keras.saving.register_keras_serializable(package="keras_maskdef")
class MedianFilter(ImageFilter):
    """Replaces every value by the median of the square window around it.

    Channels are filtered separately. Beyond the border the image is mirrored and its
    edge pixel repeated. An even window reaches one pixel further up and left than
    down and right, and gives the upper of its two middle values. This equals
    `scipy.ndimage.median_filter` with `mode="reflect"`, as in Feature Squeezing. The
    layer computes in float32 whatever its dtype. Training and prediction are the same.

    Note: Adaptive attacks, with the straight-through gradient here (BPDA: Athalye,
    Carlini and Wagner, ICML 2018) or the exact one, break the filter where it is the
    only defence. SFM-Defense reports the same and recommends it after a masker.

    Args:
        size: Integer from 2 to 7, the side of the window in pixels.
        gradient: `"straight_through"` passes the gradient on as if the layer were
            the identity. `"exact"` routes the gradient of each result to the pixel it
            came from; among equal pixels of a window, to the first in reading order.
        implementation: `"ops"` computes with the backend's operations, `"native"`
            calls the kernel, also from within a graph. `"auto"` calls it where that
            is faster: on TensorFlow without a GPU, outside XLA and not in exported
            models, for up to 8 channels. All give the same values. Use `"ops"` in a
            function that is traced by itself and later compiled by XLA as part of
            another; `"native"` turns XLA off for the whole model.
        data_format: `"channels_last"` or `"channels_first"`; the default is
            `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Call arguments:
        images: Floating point images of any value range, `(batch, height, width,
            channels)`, or one image without the batch axis (or both with the
            channels first), no smaller than the window. The batch, height and width
            may be unknown. NaN counts as larger than infinity. Or a dictionary with
            the images under "images", whose other entries are returned unchanged.

    Returns:
        Images of the shape and dtype of `images`.

    Raises:
        ValueError: For an argument out of its range, images of a wrong rank or
            smaller than the window, or more than 8 channels with
            `implementation="native"`.
        TypeError: For images that are not floating point.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> images = np.zeros((1, 5, 5, 1), "float32")
    >>> images[0, 2, 2] = 1.0
    >>> float(keras.ops.max(kmd.MedianFilter(size=3)(images)))
    0.0

    Reference:
        Xu, Evans, Qi: Feature Squeezing, NDSS 2018, section on local smoothing; Yu
        et al.: SFM-Defense (2022), section 5.3, "Local median filtering".
    """

    def __init__(
        self,
        size: int,
        gradient: str = "straight_through",
        implementation: str = "auto",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(gradient, implementation, data_format, **kwargs)
        self.size = check_int("size", size, 2, 7)

    @property
    def kernel(self) -> native.Kernel:
        return native.Kernel("median", (self.size,))

    def ops_path(self, images: Any) -> Any:
        return median(images, self.size)

    def exact_gradient(self, images: Any, filtered: Any, upstream: Any) -> Any:
        return median_gradient(images, filtered, upstream, self.size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}

    def _checked(self, images: Any) -> Any:
        images = super()._checked(images)
        shape = tuple(images.shape)
        depth = channels(shape, self.data_format)
        if self.implementation == "native" and depth > MAX_CHANNELS:
            raise ValueError(
                f"`images` must have at most {MAX_CHANNELS} channels with "
                f'`implementation="native"`. Received: images.shape={shape}, '
                f"data_format={self.data_format!r}"
            )
        sizes = sizes_of(images)
        return ensured(
            images,
            [at_least(side, self.size) for side in spatial(sizes, self.data_format)],
            "`size` must be at most the image's height and width.",
            {"size": self.size, "images.shape": sizes},
        )
