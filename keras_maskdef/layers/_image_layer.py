"""What images a layer may be called on."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_maskdef.core.arguments import known_shape


class ImageLayer(keras.layers.Layer):
    """A layer of images alone, which also takes them in a dictionary, under "images".

    Keras' own augmentations take such dictionaries and give them back, all but the
    images as it was.
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
