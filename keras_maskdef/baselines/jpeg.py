"""JPEG compression."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_maskdef.baselines._art import preprocessors
from keras_maskdef.baselines._in_unit_range import behind_in_unit_range
from keras_maskdef.core.arguments import check_int
from keras_maskdef.core.extras import require
from keras_maskdef.core.value_range import UNIT
from keras_maskdef.evaluation.defence import Defence


def jpeg(
    classifier: keras.Model, quality: int = 75, value_range: Sequence[float] = UNIT
) -> Defence:
    """Classifies the image after JPEG compression.

    It is `JpegCompression` of the Adversarial Robustness Toolbox: images of three
    channels are compressed as RGB, all others channel by channel. Before that, values
    are rounded to 8 bits, 256 levels of `value_range`.

    Args:
        classifier: Keras model from images in `value_range`, `(batch, height, width,
            channels)`, to `(batch, classes)`.
        quality: Integer from 1 to 100; the higher, the closer to the image.
        value_range: The lowest and the highest value of the images, such as `(0, 255)`.

    Returns:
        A `Defence`, for `evaluate`.

    Gradient:
        The classifier's gradient at the compressed image, as if compression were the
        identity (BPDA).

    Raises:
        ValueError: For a `quality` out of its range, or an invalid `value_range`.
        ImportError: If ART or Pillow is not installed.

    Example:

    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> compressed = jpeg(classifier, quality=50)
    >>> compressed.outputs(np.zeros((5, 8, 8, 1), "float32")).shape
    (5, 3)

    Reference:
        Dziugaite, Ghahramani, Roy: A Study of the Effect of JPG Compression on
        Adversarial Images (2016); Guo et al.: Countering Adversarial Images using Input
        Transformations, ICLR 2018.
    """
    quality = check_int("quality", quality, 1, 100)
    require("PIL.Image", "baselines")
    # Values up to 255: ART truncates values up to 1 where it should round them.
    compress = preprocessors().JpegCompression(clip_values=(0, 255), quality=quality)

    def preprocess(images: np.ndarray) -> np.ndarray:
        return compress(np.rint(255.0 * images))[0] / 255.0

    return behind_in_unit_range(preprocess, classifier, value_range)
