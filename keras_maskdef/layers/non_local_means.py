"""Non-local smoothing."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_maskdef.backend import native
from keras_maskdef.core.arguments import check_odd_int, check_positive
from keras_maskdef.core.image_shape import channels
from keras_maskdef.core.value_range import UNIT
from keras_maskdef.layers._ranged_filter import RangedFilter


@keras.saving.register_keras_serializable(package="keras_maskdef")
class NonLocalMeans(RangedFilter):
    """Replaces every pixel by a mean over its search window, weighted by similarity.

    The results equal OpenCV's `fastNlMeansDenoising` (one channel) and
    `fastNlMeansDenoisingColored` (three) bit for bit; OpenCV is not needed. Images are
    quantized to 256 levels, `clip(round(255 * x), 0, 255)`, so the result has 256
    levels as well. Like OpenCV, the filter reads three channels as blue, green, red:
    the channels of RGB images are read in reverse, as in Feature Squeezing. See
    `keras_maskdef.kernels.nl_means`. Training and prediction are the same.

    Feature Squeezing's "13-3-4" for CIFAR-10 is
    `NonLocalMeans(strength=4, patch_size=3, search_size=13)`. SFM-Defense calls the
    filter "global mean filtering".

    Note: Adaptive attacks, with the straight-through gradient here (BPDA: Athalye,
    Carlini and Wagner, ICML 2018), break the filter where it is the only defence.

    Args:
        strength: Number above 0, on the scale of 0 to 255 whatever `value_range` is:
            OpenCV's `h`.
        patch_size: Odd integer from 1 to 127, the side of the patches compared.
        search_size: Odd integer from 1 to 2901, the side of the search window. Both
            sizes may exceed the image.
        gradient: `"straight_through"` passes the gradient on as if the layer were
            the identity. There is no exact one: the filter computes in integers.
        implementation: `"ops"` computes with the backend's operations, `"native"`
            calls the kernel, also from within a graph. `"auto"` calls it where that
            is faster, by ten times: on TensorFlow without a GPU, outside XLA and not
            in exported models. All give the same bits. Use `"ops"` in a function that
            is traced by itself and later compiled by XLA as part of another;
            `"native"` turns XLA off for the whole model.
        data_format: `"channels_last"` or `"channels_first"`; the default is
            `keras.config.image_data_format()`.
        value_range: The lowest and the highest value of images. With `(0, 255)` the
            results are OpenCV's integers, to the last bit. `defend` sets it from its
            `value_range`.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Call arguments:
        images: Floating point images in `value_range` with one or three channels,
            `(batch, height, width, channels)`, or one image without the batch axis (or
            both with the channels first). The batch, height and width may be unknown.
            Values outside the range are clipped, and NaN becomes the lowest value. Or
            a dictionary with the images under "images", whose other entries are
            returned unchanged.

    Returns:
        Images of the shape and dtype of `images`.

    Raises:
        ValueError: For an argument out of its range, an even size,
            `gradient="exact"`, or images of a wrong rank or number of channels.
        TypeError: For images that are not floating point.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> images = np.full((1, 8, 8, 3), 0.5, "float32")
    >>> images[0, 4, 4] += 0.01
    >>> smooth = kmd.NonLocalMeans(strength=4)(images)
    >>> np.ptp(keras.ops.convert_to_numpy(smooth)) < np.ptp(images)
    np.True_

    Reference:
        Buades, Coll, Morel: A Non-Local Algorithm for Image Denoising, CVPR 2005; Xu,
        Evans, Qi: Feature Squeezing, NDSS 2018, section on non-local smoothing; Yu et
        al.: SFM-Defense (2022), section 5.3, "Global mean filtering".
    """

    def __init__(
        self,
        strength: float,
        patch_size: int = 3,
        search_size: int = 13,
        gradient: str = "straight_through",
        implementation: str = "auto",
        data_format: str | None = None,
        value_range: Sequence[float] = UNIT,
        **kwargs: Any,
    ) -> None:
        if gradient == "exact":
            raise ValueError(
                "`gradient` must be 'straight_through': non-local means in integers, "
                "as OpenCV computes them, have no exact gradient but zero. "
                "Received: gradient='exact'"
            )
        super().__init__(gradient, implementation, data_format, value_range, **kwargs)
        self.strength = check_positive("strength", strength)
        self.patch_size = check_odd_int("patch_size", patch_size, 127)
        self.search_size = check_odd_int("search_size", search_size, 2901)

    @property
    def kernel(self) -> native.Kernel:
        window = (self.strength, self.patch_size, self.search_size)
        return native.Kernel("nl_means", window)

    def ops_path(self, images: Any) -> Any:
        # This module imports numba, which `import keras_maskdef` avoids.
        from keras_maskdef.layers._nl_means_ops import nl_means

        return nl_means(images, self.strength, self.patch_size, self.search_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "strength": self.strength,
            "patch_size": self.patch_size,
            "search_size": self.search_size,
        }

    def _checked(self, images: Any) -> Any:
        images = super()._checked(images)
        shape = tuple(images.shape)
        if channels(shape, self.data_format) not in (1, 3):
            raise ValueError(
                "`images` must have one or three channels. "
                f"Received: images.shape={shape}, data_format={self.data_format!r}"
            )
        return images
