"""The base class of the filter layers: arguments, layout, implementation, gradient."""

from typing import Any

import keras
from keras import ops

from keras_maskdef.backend import native
from keras_maskdef.core.arguments import (
    check_channels,
    check_choice,
    check_images,
)
from keras_maskdef.kernels._validate import MAX_CHANNELS
from keras_maskdef.layers._image_layer import ImageLayer

IMPLEMENTATIONS = ("auto", "ops", "native")


class ImageFilter(ImageLayer):
    """A filter on images, given by a kernel and its equivalent in `keras.ops`.

    Subclasses define `kernel` (the kernel with its parameters), `ops_path` (the
    equivalent) and `exact_gradient`. All three get float32 images of shape
    (B, H, W, C).
    """

    native_pays = True

    def __init__(
        self,
        gradient: str,
        implementation: str,
        data_format: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gradient = check_choice(
            "gradient", gradient, ("straight_through", "exact")
        )
        self.implementation = check_choice(
            "implementation", implementation, IMPLEMENTATIONS
        )
        self.data_format = check_choice(
            "data_format",
            data_format or keras.config.image_data_format(),
            ("channels_last", "channels_first"),
        )
        # XLA cannot compile TensorFlow's callback; compiled JAX and PyTorch can call
        # back.
        if implementation == "native" and keras.backend.backend() == "tensorflow":
            self.supports_jit = False
        self.built = True

    def call(self, images: Any) -> Any:
        images = self._checked(images)
        filtered = self._filter_in_layout(ops.cast(images, "float32"))
        return ops.cast(filtered, images.dtype)

    @property
    def kernel(self) -> native.Kernel:
        """The kernel, with the layer's parameters."""
        raise NotImplementedError

    def ops_path(self, images: Any) -> Any:
        """Filters with `keras.ops`."""
        raise NotImplementedError

    def exact_gradient(self, images: Any, filtered: Any, upstream: Any) -> Any:
        """The gradient with respect to `images`; `upstream` is that of `filtered`."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def compute_output_spec(self, images: Any) -> Any:
        self._checked(images)
        return keras.KerasTensor(images.shape, dtype=images.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gradient": self.gradient,
            "implementation": self.implementation,
            "data_format": self.data_format,
        }

    def _checked(self, images: Any) -> Any:
        """Returns the images, or raises where the filter cannot be applied to them."""
        check_images(images)
        check_channels(images, self.data_format)
        return images

    def _filter_in_layout(self, images: Any) -> Any:
        batch = images if len(images.shape) == 4 else ops.expand_dims(images, 0)
        if self.data_format == "channels_first":
            batch = ops.transpose(batch, (0, 2, 3, 1))
        filtered = self._filter(batch)
        if self.data_format == "channels_first":
            filtered = ops.transpose(filtered, (0, 3, 1, 2))
        return filtered if len(images.shape) == 4 else filtered[0]

    def _filter(self, images: Any) -> Any:
        exact = self.gradient == "exact"
        gradient = self.exact_gradient if exact else _straight_through
        return native.with_gradient(self._filtered, gradient, images)

    def _filtered(self, images: Any) -> Any:
        if self._is_native(images):
            return native.call_kernel(self.kernel, self.ops_path, images)
        return self.ops_path(images)

    def _is_native(self, images: Any) -> bool:
        if self.implementation == "auto":
            fits = images.shape[-1] <= MAX_CHANNELS
            return self.native_pays and fits and native.pays()
        return self.implementation == "native"


def _straight_through(images: Any, filtered: Any, upstream: Any) -> Any:
    return upstream
