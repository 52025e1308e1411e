"""SFM-Defense from end to end: one defended model, its figures and its pictures."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_maskdef import architectures, defend
from keras_maskdef._image_data import ImageData
from keras_maskdef._progress import Start, silent
from keras_maskdef.evaluation.pictures import plot_alternation, plot_masks
from keras_maskdef.layers import SparseFeatureMasker
from keras_maskdef.recipes.sfm import SfmRecipe, alternate, pretrain
from keras_maskdef.recipes.training import build

SHOWN = 8


@dataclass(frozen=True)
class SfmDefence:
    """What a training made.

    Args:
        model: Masker, filters and classifier, as `defend` puts them together.
        masker: The masker inside.
        history: Of the alternation.
    """

    model: keras.Model
    masker: SparseFeatureMasker
    history: dict[str, list[float]]


def train_defence(
    recipe: SfmRecipe,
    data: ImageData,
    validation: ImageData,
    seed: int = 0,
    start: Start = silent,
) -> SfmDefence:
    """Trains the recipe's classifier, then a masker in turn with it.

    Args:
        recipe: What to train, and how long.
        data: Training images and labels.
        validation: Images and labels that each alternation is evaluated on.
        seed: Integer of at least 0 for the order of the images.
        start: Starts a progress bar, see `keras_maskdef._progress`.

    Returns:
        The defended model, its parts, and the history of the alternation.
    """
    classifier = pretrain(recipe, data, seed, start)
    masker, history = alternate(recipe, classifier, data, validation, seed, start)
    model = defend(classifier, masker, recipe.filters())
    return SfmDefence(model, masker, history)


def check_recipe(recipe: SfmRecipe, image_shape: tuple[int, ...]) -> None:
    """Builds what the recipe asks for, to fail before a training and not after it.

    Args:
        recipe: What to check.
        image_shape: `(height, width, channels)`.

    Raises:
        ValueError: For a width of an architecture that has none, or a recipe that the
            images are too small for.
    """
    classifier = build(recipe.architecture, image_shape, 10, recipe.width)
    defend(classifier, filters=recipe.filters())
    architectures.attention_unet(image_shape, recipe.masker_widths)


def accuracy(model: keras.Model, data: ImageData) -> float:
    """Fraction of images that the model is right on, in [0, 1]."""
    outputs = model.predict(data.images, batch_size=250, verbose=0)
    return float(np.mean(outputs.argmax(-1) == data.labels))


def save_pictures(
    defence: SfmDefence, recipe: SfmRecipe, data: ImageData, folder: Path
) -> list[Path]:
    """Writes masks of images of several classes, and the curves; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "masks.png", folder / "alternation.png"]
    _, first = np.unique(data.labels, return_index=True)
    images = data.images[first[:SHOWN]]
    plot_masks(defence.masker, recipe.filters(), images, paths[0])
    plot_alternation(defence.history, paths[1])
    return paths
