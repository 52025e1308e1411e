"""The sparse feature masker of SFM-Defense."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_maskdef.architectures import attention_unet
from keras_maskdef.core.arguments import (
    as_many,
    check_choice,
    check_images,
    ensured,
    sizes_of,
)
from keras_maskdef.core.image_shape import spatial
from keras_maskdef.core.value_range import (
    UNIT,
    ValueRange,
    check_value_range,
    to_unit,
)
from keras_maskdef.layers._image_layer import ImageLayer


@keras.saving.register_keras_serializable(package="keras_maskdef")
class SparseFeatureMasker(ImageLayer):
    """Multiplies images by a learned mask that keeps the meaningful features.

    `call(x)` is `x * mask(x)`. The mask has one channel, which all channels of the
    image share, and values in [0, 1]. `AlternatingTraining` trains it; before
    training, the mask is about 1/2 everywhere. Where the value range does not begin at
    0, hidden pixels get the lowest value: `low + (x - low) * mask(x)`.

    Note: The masker helps against attacks on the base model behind it. It gives no
    protection against an attacker who differentiates through the masker:
    docs/defences.md has figures.

    Args:
        network: Keras model or layer from images to a map of one channel, of their
            height and width, with values in [0, 1] (the last activation should be a
            sigmoid). It gets images in [0, 1], whatever `value_range` is. `None`
            builds `architectures.attention_unet` for the size of the first images.
        data_format: `"channels_last"` or `"channels_first"`, of images and mask; the
            default is `keras.config.image_data_format()`.
        value_range: The lowest and the highest value of images, such as `(0, 255)`.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Call arguments:
        images: Floating point images in `value_range`, `(batch, height, width,
            channels)`, or with the channels first. Or a dictionary with the images
            under "images", whose other entries are returned unchanged.
        training: Boolean, passed to the network (batch normalization, dropout).

    Returns:
        The masked images, of the shape and dtype of `images`.

    Gradient:
        Through both factors: `mask + (images - low) * d mask / d images`.

    Raises:
        ValueError: For images without four axes or, with the default network, of an
            unknown size; a network whose output is not one channel of their size; or
            an invalid `value_range`.
        TypeError: For a `network` that is no Keras layer, or images that are not
            floating point.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> masker = kmd.SparseFeatureMasker()
    >>> images = np.full((2, 32, 32, 3), 0.5, "float32")
    >>> masker(images).shape, masker.mask(images).shape
    (TensorShape([2, 32, 32, 3]), TensorShape([2, 32, 32, 1]))

    Reference:
        Yu, Wang, Wang, Tian, Yu: SFM-Defense (2022), section 3.2.
    """

    def __init__(
        self,
        network: Any = None,
        data_format: str | None = None,
        value_range: Sequence[float] = UNIT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if network is not None and not isinstance(network, keras.layers.Layer):
            raise TypeError(
                "`network` must be a Keras model or layer, or None. "
                f"Received: network={network!r}"
            )
        self.network: Any = network
        self.data_format = check_choice(
            "data_format",
            data_format or keras.config.image_data_format(),
            ("channels_last", "channels_first"),
        )
        self.value_range: ValueRange = check_value_range(value_range)

    def build(self, input_shape: tuple) -> None:
        if self.network is None:
            self.network = self._default_network(tuple(input_shape))
        self._check_output(input_shape)
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        mask = ops.cast(self.mask(images, training), images.dtype)
        low = self.value_range[0]
        return low + (images - low) * mask if low else images * mask

    def mask(self, images: Any, training: bool | None = None) -> Any:
        """Computes the mask of a batch of images.

        Args:
            images: As for a call.
            training: As for a call.

        Returns:
            `(batch, height, width, 1)`, or `(batch, 1, height, width)`, in [0, 1], of
            the dtype that the network returns.
        """
        check_images(images)
        images = ops.convert_to_tensor(images)
        if not self.built:
            self.build(tuple(images.shape))
        mask = self.network(to_unit(images, self.value_range), training=training)
        sizes, mask_sizes = sizes_of(images), sizes_of(mask)
        sides = [spatial(shape, self.data_format) for shape in (mask_sizes, sizes)]
        return ensured(
            mask,
            [as_many(*pair) for pair in zip(*sides, strict=True)],
            "`network` must return the images' height and width.",
            {"mask.shape": mask_sizes, "images.shape": sizes},
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def compute_output_spec(self, images: Any, training: bool | None = None) -> Any:
        check_images(images)
        if not self.built:
            self.build(tuple(images.shape))
        return keras.KerasTensor(images.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "data_format": self.data_format,
            "value_range": self.value_range,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        network = keras.saving.deserialize_keras_object(
            config["network"], custom_objects=custom_objects
        )
        return cls(**{**config, "network": network})

    def _default_network(self, input_shape: tuple) -> keras.Model:
        if len(input_shape) == 4 and None in input_shape[1:]:
            raise ValueError(
                "`network` must be given for images of an unknown size: the default "
                f"one is made for one size. Received: images.shape={input_shape}"
            )
        with _as_global(self.dtype_policy, self.data_format):
            return attention_unet(input_shape[1:])

    def _check_output(self, input_shape: tuple) -> None:
        images = keras.KerasTensor(input_shape, dtype=self.compute_dtype)
        if len(input_shape) != 4:
            check_images(images)
            raise ValueError(
                "`images` must have a batch axis. "
                f"Received: images.shape={tuple(input_shape)}"
            )
        if not self.network.built:
            self.network(images)
        output = self.network.compute_output_spec(images)
        shape = tuple(getattr(output, "shape", ()))
        expected = (input_shape[0], *spatial(input_shape, self.data_format))
        axis = 3 if self.data_format == "channels_last" else 1
        expected = (*expected[:axis], 1, *expected[axis:])
        if len(shape) != 4 or any(
            None not in pair and pair[0] != pair[1]
            for pair in zip(shape, expected, strict=True)
        ):
            raise ValueError(
                "`network` must return one channel of the images' height and width, "
                f"the shape {expected}. Received: network={self.network!r}, which "
                f"returns {output}"
            )


@contextmanager
def _as_global(policy: Any, data_format: str) -> Iterator[None]:
    """Sets both globally, where functional models take them from for their layers."""
    before = keras.config.dtype_policy(), keras.config.image_data_format()
    try:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(data_format)
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_image_data_format(before[1])
