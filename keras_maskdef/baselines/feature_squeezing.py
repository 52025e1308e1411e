"""Feature squeezing, with this library's layers."""

from collections.abc import Sequence

import keras

from keras_maskdef.assembly import defend
from keras_maskdef.core.value_range import UNIT
from keras_maskdef.layers import BitDepthReduction, MedianFilter


def feature_squeezing(
    classifier: keras.Model,
    bits: int = 5,
    median: int = 2,
    value_range: Sequence[float] = UNIT,
) -> keras.Model:
    """Classifies the squeezed image: fewer bits a value, then a median filter.

    The paper's detector, which compares the outputs for the image and the squeezed
    image, is not implemented: nothing is rejected.

    Args:
        classifier: Built Keras model from images in `value_range`, `(batch, height,
            width, channels)`, to `(batch, classes)`.
        bits: Integer from 1 to 8, how many bits a value keeps.
        median: Integer from 2 to 7, the side of the filter's window in pixels.
        value_range: The lowest and the highest value of the images, such as `(0, 255)`.

    Returns:
        A functional `keras.Model` of the classifier's input and output shapes that
        shares its weights.

    Gradient:
        Straight through both filters (BPDA). `evaluate` also attacks the median filter
        by its exact gradient.

    Raises:
        TypeError: For a classifier that is no Keras model.
        ValueError: For an argument out of its range, or a classifier that is not built.

    Example:

    >>> import numpy as np
    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> squeezed = feature_squeezing(classifier, bits=4)
    >>> squeezed.predict(np.zeros((5, 8, 8, 1), "float32"), verbose=0).shape
    (5, 3)

    Reference:
        Xu, Evans, Qi: Feature Squeezing, NDSS 2018, sections on color depth and local
        smoothing; the baseline of SFM-Defense (2022).
    """
    filters = [BitDepthReduction(bits), MedianFilter(median)]
    return defend(classifier, filters=filters, value_range=value_range)
