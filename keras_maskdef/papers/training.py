"""Training that lasts: what is killed at any moment goes on where it was."""

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import keras

from keras_maskdef.backend.seeding import reseed, seed_of
from keras_maskdef.core.batches import ShuffledBatches
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.layers import VotingEnsemble
from keras_maskdef.papers.network import Network

Made = TypeVar("Made")
BACKUP, LOG, CHECKPOINT = "backup", "log.csv", "checkpoint.weights.h5"


@dataclass(frozen=True)
class Trained:
    """What a training made.

    Args:
        model: The bare classifier, to logits.
        history: By name, the figures of each epoch.
    """

    model: keras.Model
    history: dict[str, list[float]]


def train(
    network: Network,
    data: ImageData,
    folder: Path | None = None,
    start: Start = silent,
    precision: str = "float32",
    pretrained: keras.Model | None = None,
    keep: Callable[[Trained], None] | None = None,
) -> Trained:
    """Trains a network, or goes on with a training that was stopped.

    The order of the images follows from the seed and the epoch alone, so that a resumed
    training sees what it would have seen. Sets Keras' random seed.

    Args:
        network: What to train, and how long.
        data: Training images and labels.
        folder: Where to keep a backup of each epoch, the weights of the last one and
            `log.csv`; nowhere by default.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.
        precision: Keras' dtype policy in training, such as `"mixed_float16"` on a GPU.
            The model that is returned is one of float32.
        pretrained: The trained model of `network.pretrained`, if there is one.
        keep: Is given what is returned before the backup is deleted, so that a kill
            between the two loses nothing.

    Returns:
        The bare classifier and the figures of each epoch.

    Raises:
        ValueError: For a network that the images are not for, or one that begins with
            a trained one and no such model.
    """
    if (network.pretrained is None) != (pretrained is None):
        raise ValueError(
            "`pretrained` must be the model of `network.pretrained`, and be left out "
            f"where there is none. Received: pretrained={pretrained!r}, "
            f"network.pretrained={network.pretrained!r}"
        )
    keras.utils.set_random_seed(network.seed)
    shape, classes = data.images.shape[1:], len(data.class_names)
    with _policy(precision):
        classifier = network.build(shape, classes)
        model = _in_training(network, classifier)
    if pretrained is not None:
        classifier.set_weights(pretrained.get_weights())
    batches = ShuffledBatches(data[:2], network.batch_size, network.seed)
    compile_model(model, network, network.epochs * len(batches))

    def finished(history: dict[str, list[float]]) -> Trained:
        made = Trained(_in_float32(network, classifier, shape, classes), history)
        if keep is not None:
            keep(made)
        return made

    return fit(model, batches, network.epochs, folder, start, network.title, finished)


def compile_model(model: keras.Model, network: Network, steps: int) -> None:
    """With the optimizer of a network, for so many steps."""
    rate: Any = network.learning_rate
    if network.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def fit(
    model: keras.Model,
    batches: ShuffledBatches,
    epochs: int,
    folder: Path | None,
    start: Start,
    title: str,
    finished: Callable[[dict[str, list[float]]], Made],
    callbacks: list[keras.callbacks.Callback] | None = None,
) -> Made:
    """`model.fit` with a backup, a log and a progress bar.

    Args:
        model: Compiled model.
        batches: Of the training.
        epochs: In all, those before a stop included.
        folder: Of backup and log, if any.
        start: Starts the progress bar.
        title: Of the progress bar.
        finished: Makes what is returned from the figures of each epoch, while the
            backup is still there.
        callbacks: Further ones, which come before the backup.
    """
    kept: list[keras.callbacks.Callback] = [Seconds()]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        kept += [
            # The log first: a row that is written twice does no harm, a lost one does.
            keras.callbacks.CSVLogger(str(folder / LOG), append=True),
            keras.callbacks.ModelCheckpoint(
                str(folder / CHECKPOINT), save_weights_only=True
            ),
            # The second copy is for a kill while the first is being written.
            keras.callbacks.BackupAndRestore(
                str(folder / BACKUP), double_checkpoint=True
            ),
        ]
    end = _AtTheEnd(finished, None if folder is None else folder / LOG)
    bar = Bar(start(title, epochs * len(batches)), len(batches))
    model.fit(
        batches,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[InOrder(batches), *(callbacks or []), end, *kept, bar],
    )
    return end.made


def read_log(path: Path) -> dict[str, list[float]]:
    """The figures of each epoch, as `CSVLogger` wrote them.

    An epoch that was trained again after a kill counts by its last row.
    """
    with open(path, newline="") as file:
        rows = {int(row.pop("epoch")): row for row in csv.DictReader(file)}
    history = {
        name: [_number(rows[epoch][name]) for epoch in sorted(rows)]
        for name in rows[min(rows)]
    }
    # Columns that Keras keeps for a validation that there was not.
    return {n: v for n, v in history.items() if not all(map(math.isnan, v))}


def _number(text: str) -> float:
    return float("nan") if text in ("", "NA") else float(text)


def _in_training(network: Network, classifier: keras.Model) -> keras.Model:
    """What the classifier is trained in."""
    if network.noise:
        inputs = keras.Input(classifier.input_shape[1:])
        noisy = keras.layers.GaussianNoise(network.noise, seed=network.seed)(inputs)
        return keras.Model(inputs, classifier(noisy))
    if network.mask is None:
        return classifier
    vote = VotingEnsemble(classifier, network.mask.layer())
    vote.build((None, *classifier.input_shape[1:]))
    return vote


def _in_float32(
    network: Network, model: keras.Model, shape: tuple[int, ...], classes: int
) -> keras.Model:
    """The model of the same weights that computes in float32, and is not compiled."""
    with _policy("float32"):
        built = network.build(shape, classes)
    built.set_weights(model.get_weights())
    return built


class _policy:
    """A dtype policy for the layers that are made meanwhile."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._name)

    def __exit__(self, *error: object) -> None:
        keras.config.set_dtype_policy(self._before)


class _AtTheEnd(keras.callbacks.Callback):
    """Before `BackupAndRestore`, which deletes the backup then."""

    def __init__(self, finished: Callable, log: Path | None) -> None:
        super().__init__()
        self._finished, self._log = finished, log
        self.made: Any = None

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._log is None:
            history = self.model.history.history
        else:
            history = read_log(self._log)
        self.made = self._finished(history)


class InOrder(keras.callbacks.Callback):
    """Gives each epoch its own order and masks, also in a training that resumes."""

    def __init__(self, batches: ShuffledBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._batches.start_epoch(epoch)
        reseed([self.model], seed_of(self._batches.seed, "epoch", epoch))


class Seconds(keras.callbacks.Callback):
    """Logs how long each epoch took, with what callbacks before this one did."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            logs["seconds"] = time.perf_counter() - self._began


class Bar(keras.callbacks.Callback):
    """Advances a progress bar by one for each training step."""

    def __init__(self, advance: Any, steps: int) -> None:
        super().__init__()
        self._advance, self._steps = advance, steps
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if not self._begun:  # what was trained before a stop
            self._advance(epoch * self._steps)
        self._begun = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._advance(1)
