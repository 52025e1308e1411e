"""A classifier that is trained to be certified."""

from dataclasses import dataclass
from typing import Any

import keras

from keras_maskdef._image_data import ImageData
from keras_maskdef._progress import Start, silent
from keras_maskdef.layers import RandomGridMask, VotingEnsemble
from keras_maskdef.recipes.training import Bar, build


@dataclass(frozen=True)
class CertifiedRecipe:
    """What is trained, and the vote that is certified.

    Args:
        dataset: A name of `keras_maskdef.datasets`.
        architecture: A name of `keras_maskdef.architectures`.
        cell_size: Pixels, the side of a cell.
        mask_rate: Fraction of cells hidden in the vote, always as many of them.
        train_rates: The fractions of cells hidden in training: each image has one
            between the two. Few hidden cells are what double masking looks at, many
            what the vote does.
        fill_value: Number that hidden pixels get. One that images seldom have lets the
            classifier tell a hidden cell from an empty one.
        width: Of architectures that come in several; `None` for their default.
        epochs: Passes over the training images.
        batch_size: Images in a training step.
        learning_rate: Adam's at the beginning; it falls to zero along a cosine.
    """

    dataset: str
    architecture: str
    cell_size: int
    mask_rate: float = 0.75
    train_rates: tuple[float, float] = (0.1, 0.85)
    fill_value: float = 0.5
    width: float | None = None
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3


MNIST_CERTIFIED = CertifiedRecipe("mnist", "lenet", cell_size=7)


def certified_vote(classifier: keras.Model, recipe: CertifiedRecipe) -> VotingEnsemble:
    """The vote of a recipe: masks of a fixed count, of which there are few enough."""
    look: dict[str, Any] = {"fill_value": recipe.fill_value, "sampling": "fixed_count"}
    return VotingEnsemble(
        classifier,
        RandomGridMask(recipe.cell_size, recipe.mask_rate, **look),
        train_mask=RandomGridMask(recipe.cell_size, recipe.train_rates, **look),
    )


def train_certified(
    recipe: CertifiedRecipe, data: ImageData, start: Start = silent
) -> tuple[VotingEnsemble, dict[str, list[float]]]:
    """Trains the recipe's architecture from scratch, under masks of many rates.

    Args:
        recipe: What to train, and how long.
        data: Training images and labels.
        start: Starts a progress bar, see `keras_maskdef._progress`.

    Returns:
        The vote around the classifier, and the loss and accuracy of each epoch.
    """
    shape, classes = data.images.shape[1:], len(data.class_names)
    classifier = build(recipe.architecture, shape, classes, recipe.width)
    vote = certified_vote(classifier, recipe)
    steps = recipe.epochs * -(-len(data.images) // recipe.batch_size)
    vote.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = vote.fit(
        data.images,
        data.labels,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[Bar(start(f"train {recipe.architecture} to be certified", steps))],
    )
    return vote, history.history
