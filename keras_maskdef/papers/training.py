"""Resumable training: a training that is killed at any time can go on."""

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
    """The result of a training.

    Args:
        model: The base model, which returns logits.
        history: The figures of each epoch, by name.
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
    """Trains a network, or resumes a stopped training.

    The order of the images depends only on the seed and the epoch, so a resumed
    training sees the same batches. Sets Keras' random seed.

    Args:
        network: The network and its training settings.
        data: Training images and labels.
        folder: Where to keep a backup of each epoch, the weights of the last one and
            `log.csv`; nowhere by default.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.
        precision: Keras' dtype policy in training, such as `"mixed_float16"` on a GPU.
            The returned model computes in float32.
        pretrained: The trained model of `network.pretrained`, if there is one.
        keep: Called with the result before the backup is deleted, so that a kill in
            between loses nothing.

    Returns:
        The base model and the figures of each epoch.

    Raises:
        ValueError: For images that do not fit the network, or if exactly one of
            `pretrained` and `network.pretrained` is given.
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
        trained = Trained(_in_float32(network, classifier, shape, classes), history)
        if keep is not None:
            keep(trained)
        return trained

    return fit(model, batches, network.epochs, folder, start, network.title, finished)


def compile_model(model: keras.Model, network: Network, steps: int) -> None:
    """Compiles a model with the optimizer of a network, for `steps` steps."""
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
        batches: Training batches.
        epochs: All epochs, including those before a stop.
        folder: Folder of backup and log, if any.
        start: Starts the progress bar.
        title: Title of the progress bar.
        finished: Makes the result from the figures of each epoch, before the backup is
            deleted.
        callbacks: Further callbacks, which run before the backup.
    """
    kept: list[keras.callbacks.Callback] = [Seconds()]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        kept += [
            # The log first: a row written twice does no harm, a lost row does.
            keras.callbacks.CSVLogger(str(folder / LOG), append=True),
            keras.callbacks.ModelCheckpoint(
                str(folder / CHECKPOINT), save_weights_only=True
            ),
            # The second copy is for a kill during the writing of the first.
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
    """Reads the figures of each epoch that `CSVLogger` wrote.

    Of an epoch that was trained again after a kill the last row counts.
    """
    with open(path, newline="") as file:
        rows = {int(row.pop("epoch")): row for row in csv.DictReader(file)}
    history = {
        name: [_number(rows[epoch][name]) for epoch in sorted(rows)]
        for name in rows[min(rows)]
    }
    # Keras also writes empty columns for a validation that did not happen.
    return {n: v for n, v in history.items() if not all(map(math.isnan, v))}


def _number(text: str) -> float:
    return float("nan") if text in ("", "NA") else float(text)


def _in_training(network: Network, classifier: keras.Model) -> keras.Model:
    """The model that trains the classifier: with noise, masks or neither."""
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
    """An uncompiled model with the same weights that computes in float32."""
    with _policy("float32"):
        built = network.build(shape, classes)
    built.set_weights(model.get_weights())
    return built


class _policy:
    """Sets the dtype policy for layers that are made in its context."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._name)

    def __exit__(self, *error: object) -> None:
        keras.config.set_dtype_policy(self._before)


class _AtTheEnd(keras.callbacks.Callback):
    """Calls `finished` before `BackupAndRestore` deletes the backup."""

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
    """Fixes order and masks of each epoch, so that a resumed training repeats them."""

    def __init__(self, batches: ShuffledBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._batches.start_epoch(epoch)
        reseed([self.model], seed_of(self._batches.seed, "epoch", epoch))


class Seconds(keras.callbacks.Callback):
    """Logs the seconds of each epoch, including callbacks before this one."""

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
        if not self._begun:  # epochs trained before a stop
            self._advance(epoch * self._steps)
        self._begun = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._advance(1)
