"""A cache of trained models on disk."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import keras
from filelock import FileLock, Timeout

from keras_maskdef.core.atomic_files import replaced, write
from keras_maskdef.core.fingerprint import versions
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.papers.alternating import Alternated, alternate
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.curves import plot_curves
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.reforming import train_autoencoder
from keras_maskdef.papers.training import Trained, train

MODEL, RECORD, CURVES = "model.keras", "training.json", "curves.png"
LOCK = ".lock"
Load = Callable[[str, str], ImageData]


class ModelCache:
    """Trains the models that a recipe needs, each only once.

    A model is identified by everything that its training depends on: tables that need
    the same network share it, and a reduced training is another model. If one process
    trains a model, other processes wait for it.

    Args:
        path: Folder with a subfolder for each model; by default inside Keras' folder,
            which `KERAS_HOME` sets.
        load: Function of the name of a data set and `"train"` or `"held out"` that
            returns its images.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.
        precision: Dtype policy for training a `Network`, see `training.train`. Models
            trained with another precision are cached separately.
    """

    def __init__(
        self,
        load: Load,
        path: Path | None = None,
        start: Start = silent,
        precision: str = "float32",
    ) -> None:
        self.path = default_path() if path is None else path
        self._load, self._start, self._precision = load, start, precision
        self._made: dict[Any, Any] = {}
        self._data: dict[tuple[str, str], ImageData] = {}

    def __call__(self, setting: Any) -> Any:
        """Trains a setting, or loads its trained model.

        Args:
            setting: `Network`, `Alternation` or `Autoencoder`.

        Returns:
            A model; an `Alternated` for an `Alternation`.
        """
        if setting not in self._made:
            folder = self.folder(setting)
            if not (folder / MODEL).exists():
                with self._alone(setting, folder):
                    if not (
                        folder / MODEL
                    ).exists():  # else another process has trained it
                        self._train(setting, folder)
            self._made[setting] = self._read(setting, folder)
        return self._made[setting]

    def folder(self, setting: Any) -> Path:
        """The folder of a training, which need not exist yet."""
        setting_data = _told(setting)
        if self._precision != "float32" and not isinstance(setting, Autoencoder):
            setting_data["precision"] = self._precision
        text = json.dumps(setting_data, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        network = setting.network if isinstance(setting, Alternation) else setting
        words = re.findall(r"[\w.]+", f"{network.dataset} {setting.title}")
        return self.path / f"{'-'.join(words)}-{digest}"

    def record(self, setting: Any) -> dict[str, Any]:
        """The record of a finished training: history and seconds of each epoch."""
        return json.loads((self.folder(setting) / RECORD).read_text())

    def data(self, dataset: str, part: str, images: int | None = None) -> ImageData:
        """The first images of a data set, or all; the data set is read only once."""
        if (dataset, part) not in self._data:
            self._data[dataset, part] = self._load(dataset, part)
        data = self._data[dataset, part]
        return ImageData(data.images[:images], data.labels[:images], data.class_names)

    @contextmanager
    def _alone(self, setting: Any, folder: Path) -> Iterator[None]:
        """Lets one process at a time train; a killed process releases its lock."""
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            self._start(f"another process trains {setting.title}", 1)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @singledispatchmethod
    def _train(self, setting: Any, folder: Path) -> None:
        raise TypeError(
            "`setting` must be a Network, an Alternation or an Autoencoder. "
            f"Received: setting={setting!r}"
        )

    @_train.register
    def _(self, setting: Network, folder: Path) -> None:
        data = self.data(setting.dataset, "train", setting.images)
        first = None if setting.pretrained is None else self(setting.pretrained)

        def keep(made: Trained) -> None:
            self._keep(setting, folder, made.model, made.history, self._precision)

        train(setting, data, folder, self._start, self._precision, first, keep)

    @_train.register
    def _(self, setting: Alternation, folder: Path) -> None:
        network = setting.network
        classifier = keras.models.clone_model(self(network))
        classifier.set_weights(self(network).get_weights())
        data = self.data(network.dataset, "train", network.images)
        held_out = self.data(network.dataset, "held out", VALIDATION)

        def keep(made: Alternated) -> None:
            model = made.classifier
            if made.masker is not None:
                inputs = keras.Input(classifier.input_shape[1:])
                model = keras.Model(inputs, made.classifier(made.masker(inputs)))
            self._keep(setting, folder, model, made.history)

        alternate(setting, classifier, data, held_out, folder, self._start, keep)

    @_train.register
    def _(self, setting: Autoencoder, folder: Path) -> None:
        data = self.data(setting.dataset, "train", setting.images)

        def keep(made: Trained) -> None:
            self._keep(setting, folder, made.model, made.history)

        train_autoencoder(setting, data, folder, self._start, keep)

    def _keep(
        self,
        setting: Any,
        folder: Path,
        model: keras.Model,
        history: dict[str, list[float]],
        precision: str = "float32",
    ) -> None:
        """Writes the model last: its file marks the training as complete."""
        record = {
            "setting": asdict(setting),
            "precision": precision,
            "versions": versions(),
            "seconds": sum(history["seconds"]),
            "history": history,
        }
        text = json.dumps(record, indent=1) + "\n"
        write(folder / RECORD, lambda file: file.write(text.encode()))
        plot_curves(history, setting.title, folder / CURVES)
        with replaced(folder / MODEL) as unfinished:
            model.save(unfinished)

    def _read(self, setting: Any, folder: Path) -> Any:
        model = keras.saving.load_model(folder / MODEL)
        if not isinstance(setting, Alternation):
            return model
        history = self.record(setting)["history"]
        if not setting.masker:
            return Alternated(model, None, history)
        return Alternated(model.layers[2], model.layers[1], history)


def _told(setting: Any) -> Any:
    """Fields that differ from their defaults, so that new fields keep old digests."""
    if not is_dataclass(setting):
        return setting
    return {
        field.name: _told(getattr(setting, field.name))
        for field in fields(setting)
        if getattr(setting, field.name) != field.default
    }


# Held-out images on which each alternation is evaluated.
VALIDATION = 1000


def default_path() -> Path:
    """A folder inside the one where Keras keeps its downloads."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "keras_maskdef"
