"""Mask-based adversarial defence for Keras image classifiers."""

from keras_maskdef._version import __version__
from keras_maskdef.layers import RandomGridMask, VotingEnsemble

__all__ = ["RandomGridMask", "VotingEnsemble", "__version__"]
