"""Resumable training of SFM-Defense: masker and classifier in turn."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_maskdef import architectures, defend
from keras_maskdef.callbacks import AlternatingTraining
from keras_maskdef.core.batches import ShuffledBatches
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.layers import SparseFeatureMasker
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.papers.training import fit

MASKER_BACKUP = "masker-backup"


@dataclass(frozen=True)
class Alternated:
    """The result of an alternation.

    Args:
        classifier: The base model, which returns logits.
        masker: The masker, if there is one.
        history: The figures of each epoch, by name.
    """

    classifier: keras.Model
    masker: SparseFeatureMasker | None
    history: dict[str, list[float]]


def alternate(
    alternation: Alternation,
    classifier: keras.Model,
    data: ImageData,
    validation: ImageData | None = None,
    folder: Path | None = None,
    start: Start = silent,
    keep: Callable[[Alternated], None] | None = None,
) -> Alternated:
    """Trains a new masker in turn with a trained classifier.

    Resumes a stopped alternation, as `training.train` does. Sets Keras' random seed.

    Args:
        alternation: The settings of the training.
        classifier: Trained model of `alternation.network`; its training continues.
        data: Training images and labels.
        validation: Images and labels that each alternation is evaluated on.
        folder: Where to keep backups and `log.csv`; nowhere by default.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.
        keep: Called with the result before the backups are deleted.

    Returns:
        The classifier and its masker, and the figures of each epoch.
    """
    keras.utils.set_random_seed(alternation.seed)
    model, masker, callbacks = classifier, None, []
    if alternation.masker:
        masker = new_masker(alternation, data.images.shape[1:])
        callbacks = [_callback(alternation, masker, data, validation, folder)]
    else:
        model = defend(classifier, filters=alternation.filters())
    model.compile(
        keras.optimizers.Adam(alternation.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = _batches(alternation, data[:2])
    title = alternation.title

    def finished(history: dict[str, list[float]]) -> Alternated:
        alternated = Alternated(classifier, masker, history)
        if keep is not None:
            keep(alternated)
        return alternated

    epochs = alternation.epochs
    result = fit(model, batches, epochs, folder, start, title, finished, callbacks)
    if folder is not None:
        shutil.rmtree(folder / MASKER_BACKUP, ignore_errors=True)
    return result


def new_masker(
    alternation: Alternation, image_shape: tuple[int, ...]
) -> SparseFeatureMasker:
    """The untrained masker."""
    network = architectures.attention_unet(image_shape, alternation.masker_widths)
    return SparseFeatureMasker(network)


def check(alternation: Alternation, image_shape: tuple[int, ...]) -> None:
    """Builds the models, to fail before the training and not after it.

    Args:
        alternation: What to check.
        image_shape: `(height, width, channels)`.

    Raises:
        ValueError: For a width of an architecture that has none, or images that are
            too small.
    """
    classifier = alternation.network.build(image_shape, 10)
    defend(classifier, new_masker(alternation, image_shape), alternation.filters())


def _callback(
    alternation: Alternation,
    masker: SparseFeatureMasker,
    data: ImageData,
    validation: ImageData | None,
    folder: Path | None,
) -> AlternatingTraining:
    weights: dict[str, Any] = {}
    if alternation.weights is not None:
        names = ("sparsity_weight", "semantic_weight", "reconstruction_weight")
        weights = dict(zip(names, alternation.weights, strict=True))
    weights |= {f"{name}_weight": 0.0 for name in alternation.without}
    return AlternatingTraining(
        masker,
        _batches(alternation, data[:1]),
        preprocessing=alternation.filters(),
        rho=alternation.rho,
        norms=alternation.norms,
        train_on=alternation.train_on,
        optimizer=keras.optimizers.Adam(alternation.masker_learning_rate),
        batch_size=alternation.network.batch_size,
        validation_data=None if validation is None else validation[:2],
        backup_dir=None if folder is None else str(folder / MASKER_BACKUP),
        delete_backup=False,
        **weights,
    )


def _batches(alternation: Alternation, arrays: tuple) -> ShuffledBatches:
    size, images = alternation.network.batch_size, alternation.images
    steps = None if images is None else -(-images // size)
    return ShuffledBatches(arrays, size, alternation.seed, steps)
