"""The base class of layers on images."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_maskdef.core.arguments import known_shape


class ImageLayer(keras.layers.Layer):
    """A layer on images, which may also come in a dictionary, under "images".

    As with Keras' augmentations, the other entries of a dictionary are returned
    unchanged.
    """

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(images, Mapping):
            if "images" not in images:
                raise ValueError(
                    '`images` must have the key "images" where it is a dictionary. '
                    f"Received: images with the keys {sorted(map(str, images))}"
                )
            masked = self(images["images"], *args, **kwargs)
            return {**images, "images": masked}
        known_shape(images)
        return super().__call__(images, *args, **kwargs)
