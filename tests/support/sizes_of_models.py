"""Sizes of models, counted by hand."""

import keras
import numpy as np


def multiply_adds(model):
    """Counts those of convolutions and dense layers, the shapes being known."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += np.prod(layer.kernel.shape)
    return int(total)
