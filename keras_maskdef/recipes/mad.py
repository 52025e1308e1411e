"""Experiments of the MAD paper, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One trained and defended model.

    Args:
        dataset: A name of `keras_maskdef.datasets`.
        architecture: A name of `keras_maskdef.architectures`.
        cell_size: Pixels, the side of a cell in training and in prediction.
        mask_rate: Fraction of cells hidden.
        votes: Views in the paper's vote.
        epochs: Passes over the training images; the paper does not give them.
        batch_size: Images in a training step; the paper does not give it.
        learning_rate: Adam's.
    """

    dataset: str
    architecture: str
    cell_size: int
    mask_rate: float = 0.75
    votes: int = 5
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3


# Sections 3.1 and 3.3, Table 5.
MNIST_LENET = Recipe("mnist", "lenet", cell_size=7)
