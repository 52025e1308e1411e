"""Saved models of one's own, and the images they take."""

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

    It is not compiled, so that losses, metrics and schedules of its training need not
    be known. A task of KerasHub comes with its preprocessor built in.

    Args:
        path: A `.keras` file, or an `.h5` file of Keras 2.
        imports: Names of modules to import before, such as those of custom layers;
            also from the current folder.

    Returns:
        The model.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A module cannot be imported.
        ValueError: The file is no saved model, or has layers that are in no module
            that was imported.

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
    except Exception as error:  # of whatever layer
        raise ValueError(f"{text} cannot be loaded. {_reason(error)}") from error
    return _as_predicted(model)


def _reason(error: Exception) -> str:
    """What is at the bottom, and what helps, without Keras' configurations."""
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
    sys.path.insert(0, "")  # as `python -m` does; a command's is the folder it is in
    try:
        importlib.import_module(name)
    except Exception as error:  # of whatever is in it
        raise ImportError(
            "`imports` must be names of modules that can be imported here. Received: "
            f"{name!r}, which fails with {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path[:] = before


def _as_predicted(model: Any) -> Any:
    """A task of KerasHub preprocesses in `predict` alone; this one where it is called.

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
    """Images as models take them, from wherever they are, for `evaluate` and `certify`.

    They get the size and the channels of the models' input, by bilinear scaling without
    keeping the aspect ratio, and its value range. That is told by the models' first
    layers (`value_range_of`) or by the caller.

    Args:
        models: A Keras model, or several of one input.
        source: As `datasets.load` takes it. Batches and arrays must be in the models'
            range.
        split: As `datasets.load` takes it. By default the one to measure on: `"test"`,
            else `"validation"`, `"valid"` or `"val"`, or else the only one.
        images: Integer, how many of the first ones; all by default, and all if there
            are fewer.
        value_range: The lowest and the highest value that the models take, where their
            layers do not tell. Data sets of `datasets.NAMES` are on [0, 1] then.
        image_size: `(height, width)`, where the models take any.
        class_names: Those of the models' outputs, in their order. The classes of the
            data are matched with them by their names, and may be only some of them. By
            default the data must have as many classes, and in the same order.
        data_dir: As `datasets.load` takes it.
        download: As `datasets.load` takes it.

    Returns:
        The `ImageData`, in the value range that is returned beside it.

    Raises:
        ValueError: Where sizes, ranges or classes of models and images do not fit, or
            the range is not known; as `datasets.load` does.
        FileNotFoundError, ImportError, TypeError: As `datasets.load` does.

    Warns:
        ImageDataWarning: Of scaling, of other channels, of a range other than the
            layers tell, of classes without images, and of what `datasets.load` warns
            of.

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
        found = find(source, data_dir, download)
        known = _range_of(models, value_range, isinstance(found, Named))
        split = split or held_out(found)
        if images is not None and "[" not in split:
            split = first(found, split, images)
        data = fitted(found.read(split, wanted), wanted)
        data = data._replace(images=from_unit(data.images, known))
    else:
        known = _range_of(models, value_range, False)
        data = fitted(load(source, split, data_dir, download), wanted)
        _check_range(data.images, known)
    data = ImageData(data.images[:images], data.labels[:images], data.class_names)
    return _matched(data, _classes(models, data), class_names), known


def _check_range(images: np.ndarray, known: ValueRange) -> None:
    check_image_values(images, known)
    if known[1] > 1 and images.max() <= 1:
        note(
            f"The images seem to be on [0, 1], and the model takes {known}: no value "
            "is above 1."
        )


def _wanted(models: Sequence[Any], image_size: Sequence[int] | None) -> Wanted:
    """What the models take."""
    shapes = [shape for model in models if (shape := input_shape(model))]
    for shape in shapes:
        if len(shape) != 4 or (shape[-1] not in (None, 1, 3, 4)):
            raise ValueError(
                "`models` must take images (batch, height, width, channels) of 1, 3 or "
                f"4 channels, the channels last. Received: input shape {shape}"
            )
    sides = [{each for each in side if each} for side in zip(*shapes, strict=True)]
    if any(len(side) > 1 for side in sides[1:]):
        raise ValueError(
            "`models` must take images of one shape. "
            f"Received: {' and '.join(map(str, shapes))}"
        )
    shape = (None, *(next(iter(side), None) for side in sides[1:] or [set()] * 3))
    own = None if None in shape[1:3] else (int(shape[1]), int(shape[2]))
    asked = None if image_size is None else check_size(image_size)
    if own and asked and own != asked:
        raise ValueError(
            "`image_size` must be left out for models that take images of one size. "
            f"Received: image_size={asked}, input shape {shape}"
        )
    return Wanted(shape[-1], own or asked, note)


def _range_of(models: Sequence[Any], given: Any, is_named: bool) -> ValueRange:
    found = {value_range_of(model) for model in models}
    if given is not None:
        taken = check_value_range(given)
        for other in found - {taken, None}:
            note(f"The layers of the model tell the value range {other}, not {taken}.")
        return taken
    if len(found) > 1:
        raise ValueError(
            "`models` must take images in one value range; say it as `value_range`, "
            f"`--value-range LOW HIGH`, if they do. Received: {sorted(map(str, found))}"
        )
    known = found.pop()
    if known is not None:
        return known
    if is_named:
        return UNIT
    raise ValueError(
        "`value_range` must be given, `--value-range LOW HIGH`, as the layers of the "
        "model do not tell which values it takes: 0 1 or 0 255 as a rule, -1 1 for "
        "some of keras.applications. Preprocessing that differs between channels, as "
        "of ResNet50 and VGG16, belongs in the model. Received: value_range=None"
    )


def _classes(models: Sequence[Any], data: ImageData) -> int:
    """How many classes all models have."""
    found = []
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
        found.append(shape[1])
    if len({*found}) > 1:
        raise ValueError(
            f"`models` must have the same classes. Received: numbers of them {found}"
        )
    return found[0]


def _matched(
    data: ImageData, classes: int, class_names: Sequence[str] | None
) -> ImageData:
    """The same images with the labels of the model."""
    own = data.class_names
    shown = ", ".join(own[:NAMED]) + (", ..." if len(own) > NAMED else "")
    if class_names is not None:
        names = tuple(map(str, class_names))
        if len(names) != classes:
            raise ValueError(
                f"`class_names` must name all {classes} outputs of the model. "
                f"Received: {len(names)} names"
            )
        if are_numbers(own) and len(own) <= classes:
            return data._replace(class_names=names)
        unknown = [name for name in own if name not in names]
        if unknown:
            raise ValueError(
                "`class_names` must hold every class of the data. "
                f"Received: {', '.join(unknown[:NAMED])} of the data, which is no "
                "class of the model"
            )
        labels = np.array([names.index(name) for name in own])[data.labels]
        return ImageData(data.images, labels, names)
    if are_numbers(own) and len(own) <= classes:
        if len(own) < classes:
            note(
                f"The data have the labels 0 to {len(own) - 1} of the model's "
                f"{classes} classes."
            )
        return data._replace(class_names=numbered(classes))
    if len(own) != classes:
        raise ValueError(
            f"The data must have the {classes} classes of the model; where they have "
            "some of them, name the model's in its order: `class_names`, or `--classes "
            f"FILE`. Received: {len(own)} classes ({shown}), labels from "
            f"{data.labels.min()} to {data.labels.max()}"
        )
    return data


def class_names_of(path: StrPath) -> list[str]:
    """Reads the names of a model's classes, in the order of its outputs.

    Args:
        path: A text file of a name a line; or a JSON file: a list of names, a
            dictionary of names to numbers, or Keras' `imagenet_class_index.json`, of
            which the identifiers such as `n01440764` are taken.

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
    found = json.loads(text)
    if isinstance(found, Mapping):
        if all(isinstance(value, int) for value in found.values()):
            found = {number: name for name, number in found.items()}
        numbered = {int(key): name for key, name in found.items()}
        found = [numbered.get(number) for number in range(max(numbered) + 1)]
        if None in found:
            raise ValueError(f"there is no class of number {found.index(None)}")
    return (str(each[0] if isinstance(each, list) else each) for each in found)
