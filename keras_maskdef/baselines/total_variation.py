"""Total variation minimisation."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_maskdef.baselines._in_unit_range import behind_in_unit_range
from keras_maskdef.core.arguments import check_positive
from keras_maskdef.core.extras import require
from keras_maskdef.core.value_range import UNIT
from keras_maskdef.evaluation.defence import Defence


def total_variation(
    classifier: keras.Model, weight: float = 0.1, value_range: Sequence[float] = UNIT
) -> Defence:
    """Classifies a smoothed image, close to the given one, with less total variation.

    It is scikit-image's `denoise_tv_chambolle`, each channel by itself. Guo et al. drop
    random pixels first and fill them in; here none is dropped, so the result is not
    random. They also use another solver than Chambolle's, so their weights differ from
    those here.

    Args:
        classifier: Keras model from images in `value_range`, `(batch, height, width,
            channels)`, to `(batch, classes)`.
        weight: Number above 0: the larger, the smoother. 0.1 is scikit-image's default.
            It applies to images in [0, 1]; other ranges are rescaled to that.
        value_range: The lowest and the highest value of the images, such as `(0, 255)`.

    Returns:
        A `Defence`, for `evaluate`.

    Gradient:
        The classifier's gradient at the smoothed image, as if smoothing were the
        identity (BPDA).

    Raises:
        ValueError: For a `weight` that is no finite number above 0, or an invalid
            `value_range`.
        ImportError: If scikit-image is not installed.

    Example:

    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> smoothed = total_variation(classifier, weight=0.2)
    >>> smoothed.outputs(np.zeros((5, 8, 8, 1), "float32")).shape
    (5, 3)

    Reference:
        Guo et al.: Countering Adversarial Images using Input Transformations, ICLR
        2018, section on total variance minimization; a baseline of SFM-Defense (2022).
    """
    weight = check_positive("weight", weight)
    denoise = require("skimage.restoration", "baselines").denoise_tv_chambolle

    def preprocess(images: np.ndarray) -> np.ndarray:
        smooth = [denoise(image, weight=weight, channel_axis=-1) for image in images]
        return np.clip(smooth, 0.0, 1.0)

    return behind_in_unit_range(preprocess, classifier, value_range)
