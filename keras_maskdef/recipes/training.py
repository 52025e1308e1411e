"""Training a classifier, plain or under masks."""

import inspect

import keras

from keras_maskdef import architectures
from keras_maskdef._image_data import ImageData
from keras_maskdef._progress import Start, silent
from keras_maskdef.layers import RandomGridMask, VotingEnsemble
from keras_maskdef.recipes.mad import Recipe


def build(
    architecture: str,
    image_shape: tuple[int, ...],
    classes: int,
    width: float | None = None,
) -> keras.Model:
    """Builds a network of `keras_maskdef.architectures`.

    Args:
        architecture: Its name.
        image_shape: `(height, width, channels)`.
        classes: Number of classes.
        width: Of those that come in several; `None` for their default.

    Raises:
        ValueError: For a width of one that has none, or images that it is not for.
    """
    function = getattr(architectures, architecture)
    if width is None:
        return function(image_shape, classes)
    if "width" not in inspect.signature(function).parameters:
        raise ValueError(
            f"`width` must be left out: {architecture!r} comes in one width. "
            f"Received: width={width}"
        )
    return function(image_shape, classes, width=width)


def train(
    recipe: Recipe,
    data: ImageData,
    masked: bool,
    start: Start = silent,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Trains the recipe's architecture from scratch.

    Args:
        recipe: What to train, and how long.
        data: Training images and labels.
        masked: Whether each image is seen through a fresh random mask.
        start: Starts a progress bar, see `keras_maskdef._progress`.

    Returns:
        The bare classifier (logits) and the loss and accuracy of each epoch.
    """
    classes = len(data.class_names)
    classifier = build(recipe.architecture, data.images.shape[1:], classes)
    model = paper_vote(classifier, recipe) if masked else classifier
    model.compile(
        keras.optimizers.Adam(recipe.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    title = f"train {recipe.architecture}{' under masks' if masked else ''}"
    steps = -(-len(data.images) // recipe.batch_size)
    history = model.fit(
        data.images,
        data.labels,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[Bar(start(title, recipe.epochs * steps))],
    )
    return classifier, history.history


def paper_vote(classifier: keras.Model, recipe: Recipe) -> VotingEnsemble:
    """The MAD paper's vote: Bernoulli views, majority."""
    mask = RandomGridMask(recipe.cell_size, recipe.mask_rate)
    return VotingEnsemble(classifier, mask, votes=recipe.votes)


def partition_vote(classifier: keras.Model, recipe: Recipe) -> VotingEnsemble:
    """The library's recommendation: every cell seen once, geometric pooling."""
    mask = partition_mask(recipe)
    votes = round(1 / (1 - recipe.mask_rate))
    return VotingEnsemble(classifier, mask, votes=votes, pooling="geometric")


def partition_mask(recipe: Recipe) -> RandomGridMask:
    """A mask whose consecutive views show each cell once."""
    return RandomGridMask(recipe.cell_size, recipe.mask_rate, sampling="partition")


class Bar(keras.callbacks.Callback):
    """Advances a progress bar by one for each training step."""

    def __init__(self, advance) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self._advance = advance

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._advance(1)
