"""Loads saved models, and images in the form that models take."""

import importlib
import json
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_maskdef.attacks.inputs import check_image_values
from keras_maskdef.backend.seeding import kept_seeds
from keras_maskdef.core.arguments import check_positive_int
from keras_maskdef.core.image_data import ImageData, are_numbers, numbered
from keras_maskdef.core.value_range import (
    UNIT,
    ValueRange,
    check_value_range,
    from_unit,
)
from keras_maskdef.datasets import find, fitted, load
from keras_maskdef.datasets.folders import check_size
from keras_maskdef.datasets.pixels import Wanted, note
from keras_maskdef.datasets.sources import Named, first, held_out
from keras_maskdef.inspection.structure import input_shape
from keras_maskdef.inspection.value_range import value_range_of

__all__ = ["class_names_of", "images_for", "load_model", "value_range_of"]

NAMED = 5  # classes in a message
StrPath = str | os.PathLike[str]


def load_model(path: StrPath, imports: Iterable[str] = ()) -> keras.Model:
    """Loads a saved model for inference.

    The model is not compiled, so the losses, metrics and schedules of its training need
    not be registered. A task of KerasHub is returned with its preprocessor built in.

    Args:
        path: A `.keras` file, or an `.h5` file of Keras 2.
        imports: Names of modules to import first, such as those of custom layers; the
            current folder is searched as well.

    Returns:
        The model.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A module cannot be imported.
        ValueError: The file is no saved model, or has layers of modules that were not
            imported.

    Example:

    >>> import tempfile
    >>> import keras_maskdef as kmd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kmd.architectures.lenet().save(f"{folder}/digits.keras")
    ...     model = load_model(f"{folder}/digits.keras")
    >>> model.output_shape
    (None, 10)
    """
    text = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"`path` must be a .keras or .h5 file of a model. Received: path={text!r}"
        )
    import keras_maskdef.baselines  # noqa: F401  # registers its layers

    for name in imports:
        _import(name)
    if text.endswith(".keras") and not zipfile.is_zipfile(path):
        raise ValueError(
            "`path` must be a .keras file, and this one is damaged or something else. "
            f"Received: path={text!r}"
        )
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # any layer may raise anything
        raise ValueError(f"{text} cannot be loaded. {_reason(error)}") from error
    return _as_predicted(model)


def _reason(error: Exception) -> str:
    """The root cause and a remedy, without Keras' configurations of objects."""
    reason = str(error).rpartition("Exception encountered: ")[2]
    reason = reason.partition(" Full object config")[0].strip()
    if "Could not locate" in reason:
        remedy = (
            "Import the module that registers it: `maskdef ... --import MODULE`, or "
            "`imports` in Python."
        )
    elif "safe_mode" in reason:
        remedy = (
            "Put a layer such as `Rescaling` in the place of the lambda; or, if you "
            "trust the file, load it with `safe_mode=False` and call "
            "`keras_maskdef.evaluate` in Python."
        )
    else:
        remedy = ""
    return f"{type(error).__name__}: {reason} {remedy}".rstrip()


def _import(name: str) -> None:
    before = list(sys.path)
    sys.path.insert(0, "")  # as `python -m` does; a command has its own folder there
    try:
        importlib.import_module(name)
    except Exception as error:  # a module may raise anything
        raise ImportError(
            "`imports` must be names of modules that can be imported here. Received: "
            f"{name!r}, which fails with {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path[:] = before


def _as_predicted(model: Any) -> Any:
    """Makes a task of KerasHub preprocess in calls, not in `predict` alone.

    See `check_called_as_predicted`.
    """
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is None or not hasattr(model, "preprocess_samples"):
        return model
    images = keras.Input((*preprocessor.image_size, 3))
    return keras.Model(images, model(preprocessor(images)), name=model.name)


def images_for(
    models: Any,
    source: Any,
    split: str | None = None,
    images: int | None = None,
    *,
    value_range: Sequence[float] | None = None,
    image_size: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    data_dir: StrPath | None = None,
    download: bool = False,
) -> tuple[ImageData, ValueRange]:
    """Loads images in the form that models take, for `evaluate` and `certify`.

    Images get the size and the channels of the models' input, by bilinear scaling
    without keeping the aspect ratio, and its value range. The range is inferred from
    the models' first layers (`value_range_of`) or given by the caller.

    Args:
        models: A Keras model, or several with the same input.
        source: As for `datasets.load`. Batches and arrays must be in the models' range.
        split: As for `datasets.load`. The default is the one to evaluate on: `"test"`,
            else `"validation"`, `"valid"` or `"val"`, or else the only one.
        images: Integer, the number of images, from the first one on; all by default,
            or if there are fewer.
        value_range: The lowest and the highest value that the models take, if it cannot
            be inferred from their layers. For `datasets.NAMES` the default is then
            [0, 1].
        image_size: `(height, width)`, for models that take any size.
        class_names: Names of the models' outputs, in order. The classes of the data are
            matched to them by name, and may be a subset. By default the data must have
            the same number of classes, in the same order.
        data_dir: As for `datasets.load`.
        download: As for `datasets.load`.

    Returns:
        The `ImageData`, and its value range.

    Raises:
        ValueError: Sizes, ranges or classes of models and images do not fit, or the
            range is unknown; also as for `datasets.load`.
        FileNotFoundError, ImportError, TypeError: As for `datasets.load`.

    Warns:
        ImageDataWarning: Images were scaled or got other channels, the given range is
            not the one of the layers, or classes have no images; also as for
            `datasets.load`.

    Example:

    >>> import keras_maskdef as kmd
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((28, 28, 1)),
    ...         keras.layers.Rescaling(1 / 255),
    ...         keras.layers.Flatten(),
    ...         keras.layers.Dense(10),
    ...     ]
    ... )
    >>> data, value_range = images_for(model, "sample", images=20)
    >>> data.images.shape, value_range
    ((20, 28, 28, 1), (0.0, 255.0))
    """
    models = list(models) if isinstance(models, (list, tuple)) else [models]
    if not models:
        raise ValueError("`models` must be a model or several. Received: models=[]")
    if images is not None:
        check_positive_int("images", images)
    wanted = _wanted(models, image_size)
    if isinstance(source, (str, os.PathLike)):
        stored = find(source, data_dir, download)
        model_range = _range_of(models, value_range, isinstance(stored, Named))
        split = split or held_out(stored)
        if images is not None and "[" not in split:
            split = first(stored, split, images)
        data = fitted(stored.read(split, wanted), wanted)
        data = data._replace(images=from_unit(data.images, model_range))
    else:
        model_range = _range_of(models, value_range, False)
        data = fitted(load(source, split, data_dir, download), wanted)
        _check_range(data.images, model_range)
    data = ImageData(data.images[:images], data.labels[:images], data.class_names)
    return _matched(data, _classes(models, data), class_names), model_range


def _check_range(images: np.ndarray, known: ValueRange) -> None:
    check_image_values(images, known)
    if known[1] > 1 and images.max() <= 1:
        note(
            f"The images seem to be on [0, 1], and the model takes {known}: no value "
            "is above 1."
        )


def _wanted(models: Sequence[Any], image_size: Sequence[int] | None) -> Wanted:
    """The channels and the size that the models take."""
    shapes = [shape for model in models if (shape := input_shape(model))]
    for shape in shapes:
        if len(shape) != 4 or (shape[-1] not in (None, 1, 3, 4)):
            raise ValueError(
                "`models` must take images (batch, height, width, channels) of 1, 3 or "
                f"4 channels, the channels last. Received: input shape {shape}"
            )
    sides = [{size for size in side if size} for side in zip(*shapes, strict=True)]
    if any(len(side) > 1 for side in sides[1:]):
        raise ValueError(
            "`models` must take images of one shape. "
            f"Received: {' and '.join(map(str, shapes))}"
        )
    shape = (None, *(next(iter(side), None) for side in sides[1:] or [set()] * 3))
    fixed = None if None in shape[1:3] else (int(shape[1]), int(shape[2]))
    asked = None if image_size is None else check_size(image_size)
    if fixed and asked and fixed != asked:
        raise ValueError(
            "`image_size` must be left out for models that take images of one size. "
            f"Received: image_size={asked}, input shape {shape}"
        )
    return Wanted(shape[-1], fixed or asked, note)


def _range_of(models: Sequence[Any], given: Any, is_named: bool) -> ValueRange:
    stated = {value_range_of(model) for model in models}
    if given is not None:
        taken = check_value_range(given)
        for other in stated - {taken, None}:
            note(f"The layers of the model tell the value range {other}, not {taken}.")
        return taken
    if len(stated) > 1:
        raise ValueError(
            "`models` must take images in one value range; say it as `value_range`, "
            "`--value-range LOW HIGH`, if they do. "
            f"Received: {sorted(map(str, stated))}"
        )
    model_range = stated.pop()
    if model_range is not None:
        return model_range
    if is_named:
        return UNIT
    raise ValueError(
        "`value_range` must be given, `--value-range LOW HIGH`, as the layers of the "
        "model do not tell which values it takes: 0 1 or 0 255 as a rule, -1 1 for "
        "some of keras.applications. Preprocessing that differs between channels, as "
        "of ResNet50 and VGG16, belongs in the model. Received: value_range=None"
    )


def _classes(models: Sequence[Any], data: ImageData) -> int:
    """The number of classes, which all models share."""
    counts = []
    for model in models:
        with kept_seeds([model]):
            outputs = model(data.images[:1], training=False)
        shape = tuple(getattr(outputs, "shape", ()))
        if len(shape) != 2 or shape[1] < 2:
            raise ValueError(
                "`models` must return one array (n, classes), of 2 classes or more; a "
                "single sigmoid as `concatenate([1 - p, p])`. Received: "
                f"{model.name}, which returns {shape or type(outputs).__name__}"
            )
        counts.append(shape[1])
    if len({*counts}) > 1:
        raise ValueError(
            f"`models` must have the same classes. Received: numbers of them {counts}"
        )
    return counts[0]


def _matched(
    data: ImageData, classes: int, class_names: Sequence[str] | None
) -> ImageData:
    """Returns the images with the labels and the class names of the model."""
    data_names = data.class_names
    shown = ", ".join(data_names[:NAMED]) + (", ..." if len(data_names) > NAMED else "")
    if class_names is not None:
        names = tuple(map(str, class_names))
        if len(names) != classes:
            raise ValueError(
                f"`class_names` must name all {classes} outputs of the model. "
                f"Received: {len(names)} names"
            )
        if are_numbers(data_names) and len(data_names) <= classes:
            return data._replace(class_names=names)
        unknown = [name for name in data_names if name not in names]
        if unknown:
            raise ValueError(
                "`class_names` must hold every class of the data. "
                f"Received: {', '.join(unknown[:NAMED])} of the data, which is no "
                "class of the model"
            )
        labels = np.array([names.index(name) for name in data_names])[data.labels]
        return ImageData(data.images, labels, names)
    if are_numbers(data_names) and len(data_names) <= classes:
        if len(data_names) < classes:
            note(
                f"The data have the labels 0 to {len(data_names) - 1} of the model's "
                f"{classes} classes."
            )
        return data._replace(class_names=numbered(classes))
    if len(data_names) != classes:
        raise ValueError(
            f"The data must have the {classes} classes of the model; where they have "
            "some of them, name the model's in its order: `class_names`, or `--classes "
            f"FILE`. Received: {len(data_names)} classes ({shown}), labels from "
            f"{data.labels.min()} to {data.labels.max()}"
        )
    return data


def class_names_of(path: StrPath) -> list[str]:
    """Reads the names of a model's classes, in the order of its outputs.

    Args:
        path: A text file with one name per line; or a JSON file with a list of names, a
            dictionary from names to numbers, or Keras' `imagenet_class_index.json`,
            from which identifiers such as `n01440764` are taken.

    Returns:
        The names.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no names, or one twice.

    Example:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "classes.txt").write_text("cat\\ndog\\n")
    ...     names = class_names_of(f"{folder}/classes.txt")
    >>> names
    ['cat', 'dog']
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        is_json = Path(path).suffix == ".json"
        names = list(_names_in_json(text) if is_json else _lines(text))
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(
            "A file of classes must hold their names in UTF-8, one a line or as JSON. "
            f"Received: {os.fspath(path)}, {type(error).__name__}: {error}"
        ) from error
    if not names or len({*names}) < len(names):
        raise ValueError(
            "A file of classes must hold different names, one a line, or a list of "
            f"them as JSON. Received: {len(names)} names, {len({*names})} different "
            f"ones, in {os.fspath(path)}"
        )
    return names


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _names_in_json(text: str) -> Iterator[str]:
    names = json.loads(text)
    if isinstance(names, Mapping):
        if all(isinstance(value, int) for value in names.values()):
            names = {number: name for name, number in names.items()}
        numbered = {int(key): name for key, name in names.items()}
        names = [numbered.get(number) for number in range(max(numbered) + 1)]
        if None in names:
            raise ValueError(f"there is no class of number {names.index(None)}")
    return (str(name[0] if isinstance(name, list) else name) for name in names)
