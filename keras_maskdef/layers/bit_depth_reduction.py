"""Color bit depth squeezing."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_maskdef.backend import native
from keras_maskdef.core.arguments import check_int
from keras_maskdef.core.value_range import UNIT
from keras_maskdef.layers._bit_depth_ops import bit_depth
from keras_maskdef.layers._ranged_filter import RangedFilter


@keras.saving.register_keras_serializable(package="keras_maskdef")
class BitDepthReduction(RangedFilter):
    """Rounds every value to one of `2**bits` evenly spaced levels.

    A value becomes `round(x * L) / L` with `L = 2**bits - 1`, rounded half to even
    (0.5 is 0 at one bit), computed in float32 whatever the layer's dtype. Training and
    prediction are the same. (SFM-Defense prints `2**(i-1)` for `2**i - 1`.) Images in
    [0, 255] get `round(x / 255 * L) / L * 255` with `value_range=(0, 255)`.

    Note: Rounding does little but hide the gradient. Attacks that bypass it, with the
    straight-through gradient here (BPDA: Athalye, Carlini and Wagner, ICML 2018) or
    with larger steps (Sharma and Chen, arXiv:1803.09868), break it where it is the
    only defence. Evaluate it with the default gradient.

    Args:
        bits: Integer from 1 to 8, the number of bits a value keeps.
        gradient: `"straight_through"` passes the gradient on as if the layer were
            the identity. `"exact"` is the true derivative, zero wherever it exists:
            layers before this one then do not train, and gradient attacks get no
            signal.
        implementation: `"ops"`, `"native"` (the kernel, called from the graph; not
            for XLA) or `"auto"`, which is `"ops"` here, as a callback saves no time.
            All give the same bits.
        data_format: `"channels_last"` or `"channels_first"`; the default is
            `keras.config.image_data_format()`. It does not change the result.
        value_range: The lowest and the highest value of images, such as `(0, 255)`.
            `defend` sets it from its `value_range`.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Call arguments:
        images: Floating point images in `value_range`, `(batch, height, width,
            channels)`, or one image without the batch axis (or both with the
            channels first). The batch, height and width may be unknown. Values
            outside the range are rounded to levels beyond it, neither clipped nor
            refused; NaN stays NaN. Or a dictionary with the images under "images",
            whose other entries are returned unchanged.

    Returns:
        Images of the shape and dtype of `images`.

    Raises:
        ValueError: For an argument out of its range or images of a wrong rank.
        TypeError: For images that are not floating point.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> images = np.array([0.1, 0.4, 0.6, 0.9], "float32").reshape(1, 2, 2, 1)
    >>> keras.ops.convert_to_numpy(kmd.BitDepthReduction(bits=1)(images)).ravel()
    array([0., 0., 1., 1.], dtype=float32)

    Reference:
        Xu, Evans, Qi: Feature Squeezing, NDSS 2018, section on color depth; Yu et
        al.: SFM-Defense (2022), section 5.3, "Color bit depth squeezing".
    """

    native_pays = False

    def __init__(
        self,
        bits: int,
        gradient: str = "straight_through",
        implementation: str = "auto",
        data_format: str | None = None,
        value_range: Sequence[float] = UNIT,
        **kwargs: Any,
    ) -> None:
        super().__init__(gradient, implementation, data_format, value_range, **kwargs)
        self.bits = check_int("bits", bits, 1, 8)

    @property
    def kernel(self) -> native.Kernel:
        return native.Kernel("bit_depth", (self.bits,))

    def ops_path(self, images: Any) -> Any:
        return bit_depth(images, self.bits)

    def exact_gradient(self, images: Any, filtered: Any, upstream: Any) -> Any:
        return ops.zeros_like(upstream)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits}

    def _filter_in_layout(self, images: Any) -> Any:
        """Rounds values one by one, in any layout and with any number of channels."""
        filtered = self._filter(ops.reshape(images, (1, 1, -1, 1)))
        return ops.reshape(filtered, ops.shape(images))
