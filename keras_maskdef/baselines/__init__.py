"""Other people's defences, to be measured behind the same `evaluate`.

They are those that the MAD and SFM-Defense papers compare themselves with, and the
usual ones beside them. Each gives a Keras model or a `Defence`, both of which
`keras_maskdef.evaluate` takes. Images are floats `(n, height, width, channels)` in [0,
1]; those that depend on it have a `value_range` for another range.
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
