"""Other people's defences, to measure with the same `evaluate`.

They are the baselines of the MAD and SFM-Defense papers, and the usual ones beside
them. Each function returns a Keras model or a `Defence`, and `keras_maskdef.evaluate`
takes both. Images are floats `(n, height, width, channels)` in [0, 1]; defences that
depend on the range have a `value_range` for another one.
"""

from keras_maskdef.baselines.art_feature_squeezing import art_feature_squeezing
from keras_maskdef.baselines.feature_squeezing import feature_squeezing
from keras_maskdef.baselines.gaussian_vote import (
    GaussianVote,
    gaussian_vote_defence,
)
from keras_maskdef.baselines.jpeg import jpeg
from keras_maskdef.baselines.parseval import Parseval, with_parseval
from keras_maskdef.baselines.reformer import autoencoder, reformed
from keras_maskdef.baselines.total_variation import total_variation

__all__ = [
    "GaussianVote",
    "Parseval",
    "art_feature_squeezing",
    "autoencoder",
    "feature_squeezing",
    "gaussian_vote_defence",
    "jpeg",
    "reformed",
    "total_variation",
    "with_parseval",
]
