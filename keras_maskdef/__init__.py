"""Mask-based adversarial defence for Keras image classifiers."""

from keras_maskdef import architectures, attacks, datasets
from keras_maskdef._version import __version__
from keras_maskdef.layers import (
    BitDepthReduction,
    MedianFilter,
    NonLocalMeans,
    RandomGridMask,
    VotingEnsemble,
)
from keras_maskdef.prediction import predict

__all__ = [
    "BitDepthReduction",
    "MedianFilter",
    "NonLocalMeans",
    "RandomGridMask",
    "VotingEnsemble",
    "__version__",
    "architectures",
    "attacks",
    "datasets",
    "predict",
]
