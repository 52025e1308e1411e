"""Accuracy and pictures of a trained SFM-Defense."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_maskdef.core.image_data import ImageData
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.reporting.pictures import plot_alternation, plot_masks

SHOWN = 8


def accuracy(model: keras.Model, data: ImageData) -> float:
    """Fraction of images that the model classifies correctly, in [0, 1]."""
    outputs = model.predict(data.images, batch_size=250, verbose=0)
    return float(np.mean(outputs.argmax(-1) == data.labels))


def save(
    alternation: Alternation, made: Any, data: ImageData, folder: Path
) -> list[Path]:
    """Writes pictures of masks and of the training curves; returns their paths.

    Args:
        alternation: The alternation that was trained.
        made: Its `Alternated`.
        data: Images to show, one of each class, at most 8.
        folder: Where to write; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "masks.png", folder / "alternation.png"]
    _, first = np.unique(data.labels, return_index=True)
    plot_masks(made.masker, alternation.filters(), data.images[first[:SHOWN]], paths[0])
    plot_alternation(made.history, paths[1])
    return paths
