"""Feature squeezing, with the preprocessors of ART."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_maskdef.baselines._art import preprocessors
from keras_maskdef.baselines._in_unit_range import behind_in_unit_range
from keras_maskdef.core.arguments import check_int
from keras_maskdef.core.value_range import UNIT
from keras_maskdef.evaluation.defence import Defence


def art_feature_squeezing(
    classifier: keras.Model,
    bits: int = 5,
    median: int = 2,
    value_range: Sequence[float] = UNIT,
) -> Defence:
    """Classifies the squeezed image, by `FeatureSqueezing` and `SpatialSmoothing`.

    Both are functions of the Adversarial Robustness Toolbox on NumPy arrays. The pixels
    equal those of `feature_squeezing`, up to rounding. The paper's detector is not
    implemented: nothing is rejected.

    Args:
        classifier: Keras model from images in `value_range`, `(batch, height, width,
            channels)`, to `(batch, classes)`.
        bits: Integer from 1 to 8, how many bits a value keeps.
        median: Integer from 2 to 7, the side of the filter's window in pixels.
        value_range: The lowest and the highest value of the images, such as `(0, 255)`.

    Returns:
        A `Defence`, for `evaluate`.

    Gradient:
        The classifier's gradient at the squeezed image, as if squeezing were the
        identity (BPDA).

    Raises:
        ValueError: For an argument out of its range.
        ImportError: If ART is not installed.

    Example:

    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> squeezed = art_feature_squeezing(classifier, bits=4)
    >>> squeezed.outputs(np.zeros((5, 8, 8, 1), "float32")).shape
    (5, 3)

    Reference:
        Xu, Evans, Qi: Feature Squeezing, NDSS 2018, sections on color depth and local
        smoothing.
    """
    bits, median = check_int("bits", bits, 1, 8), check_int("median", median, 2, 7)
    art = preprocessors()
    squeeze = art.FeatureSqueezing(clip_values=(0, 1), bit_depth=bits)
    smooth = art.SpatialSmoothing(window_size=median, clip_values=(0, 1))

    def preprocess(images: np.ndarray) -> np.ndarray:
        return smooth(squeeze(images)[0])[0]

    return behind_in_unit_range(preprocess, classifier, value_range)
