"""Experiments of the SFM-Defense paper: the recipe, its training, its measurement."""

from dataclasses import dataclass

import keras

from keras_maskdef import architectures, defend
from keras_maskdef._batches import ShuffledBatches
from keras_maskdef._image_data import ImageData
from keras_maskdef._progress import Start, silent
from keras_maskdef.callbacks import AlternatingTraining
from keras_maskdef.layers import MedianFilter, SparseFeatureMasker
from keras_maskdef.recipes.training import Bar, build

LOGITS_LOSS = keras.losses.SparseCategoricalCrossentropy


@dataclass(frozen=True)
class SfmRecipe:
    """One masker and classifier trained in turn.

    Args:
        dataset: A name of `keras_maskdef.datasets`.
        architecture: A name of `keras_maskdef.architectures`.
        width: What that function takes as `width`, if it does.
        masker_widths: Widths of the Attention U-Net.
        median: Side of the median filter's window.
        rho: Of `AlternatingTraining`.
        train_on: Of `AlternatingTraining`.
        pretraining_epochs: Passes of the classifier over all images before; the
            paper's section 5.1 says several.
        epochs: Alternations.
        images: Images in one phase of an alternation; all by default.
        batch_size: Images in a step; the paper does not give it.
        learning_rate: Adam's, of the classifier in pretraining; half of it after.
        masker_learning_rate: Adam's, of the masker.
    """

    dataset: str = "cifar10"
    architecture: str = "convnet"
    width: int | None = 16
    masker_widths: tuple[int, ...] = (8, 16, 32)
    median: int = 2
    rho: float = 1.07
    train_on: str = "masked"
    pretraining_epochs: int = 4
    epochs: int = 8
    images: int | None = 20_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    masker_learning_rate: float = 3e-3

    def filters(self) -> list[keras.layers.Layer]:
        return [MedianFilter(self.median)]


CIFAR10_CONVNET = SfmRecipe()


def pretrain(
    recipe: SfmRecipe, data: ImageData, seed: int, start: Start = silent
) -> keras.Model:
    """Trains the recipe's classifier on all images, as they are (section 5.1)."""
    shape, classes = data.images.shape[1:], len(data.class_names)
    classifier = build(recipe.architecture, shape, classes, recipe.width)
    batches = ShuffledBatches((data.images, data.labels), recipe.batch_size, seed)
    steps = recipe.pretraining_epochs * len(batches)
    schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    classifier.compile(keras.optimizers.Adam(schedule), LOGITS_LOSS(True))
    title = f"pretrain {recipe.architecture}"
    classifier.fit(
        batches,
        epochs=recipe.pretraining_epochs,
        shuffle=False,
        verbose=0,
        callbacks=[Bar(start(title, steps))],
    )
    return classifier


def filter_alone(
    recipe: SfmRecipe,
    classifier: keras.Model,
    data: ImageData,
    seed: int,
    start: Start = silent,
) -> keras.Model:
    """Goes on with a classifier on filtered images, as `alternate` without a masker."""
    model = defend(classifier, filters=recipe.filters())
    _fit(recipe, model, data, seed, start, "classifier on filtered images", [])
    return model


def alternate(
    recipe: SfmRecipe,
    classifier: keras.Model,
    data: ImageData,
    validation: ImageData | None,
    seed: int,
    start: Start = silent,
) -> tuple[SparseFeatureMasker, dict[str, list[float]]]:
    """Trains a new masker in turn with the classifier.

    Returns:
        The masker, and the history of the alternation.
    """
    network = architectures.attention_unet(data.images.shape[1:], recipe.masker_widths)
    masker = SparseFeatureMasker(network)
    callback = AlternatingTraining(
        masker,
        _batches(recipe, (data.images,), seed),
        preprocessing=recipe.filters(),
        rho=recipe.rho,
        train_on=recipe.train_on,
        optimizer=keras.optimizers.Adam(recipe.masker_learning_rate),
        batch_size=recipe.batch_size,
        validation_data=None if validation is None else validation[:2],
    )
    title = "masker and classifier in turn"
    return masker, _fit(recipe, classifier, data, seed, start, title, [callback])


def _fit(
    recipe: SfmRecipe,
    model: keras.Model,
    data: ImageData,
    seed: int,
    start: Start,
    title: str,
    callbacks: list[keras.callbacks.Callback],
) -> dict[str, list[float]]:
    batches = _batches(recipe, (data.images, data.labels), seed)
    optimizer = keras.optimizers.Adam(recipe.learning_rate / 2)
    model.compile(optimizer, LOGITS_LOSS(True), metrics=["accuracy"])
    bar = Bar(start(title, recipe.epochs * len(batches)))
    return model.fit(
        batches,
        epochs=recipe.epochs,
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, bar],
    ).history


def _batches(recipe: SfmRecipe, arrays: tuple, seed: int) -> ShuffledBatches:
    steps = None if recipe.images is None else -(-recipe.images // recipe.batch_size)
    return ShuffledBatches(arrays, recipe.batch_size, seed, steps)
