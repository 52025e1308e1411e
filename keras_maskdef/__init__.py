"""Mask-based adversarial defence for Keras image classifiers."""

from keras_maskdef._version import __version__

__all__ = ["__version__"]
