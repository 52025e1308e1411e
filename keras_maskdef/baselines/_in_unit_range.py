"""Functions of images in [0, 1] before classifiers of images in any range."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_maskdef.core.value_range import check_value_range, from_unit, to_unit
from keras_maskdef.evaluation.defence import Defence


def behind_in_unit_range(
    preprocess: Callable[[np.ndarray], np.ndarray],
    classifier: keras.Model,
    value_range: Sequence[float],
) -> Defence:
    """`Defence.behind` of a function that gets images in [0, 1], whatever the range."""
    bounds = check_value_range(value_range)

    def ranged(images: np.ndarray) -> np.ndarray:
        processed = np.asarray(preprocess(to_unit(images, bounds)), dtype="float32")
        return from_unit(processed, bounds)

    return Defence.behind(ranged, classifier, bounds)
