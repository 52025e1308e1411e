"""Reads images and labels from an `.npz` file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_maskdef.core.image_data import (
    SPLITS,
    WHOLE,
    ImageData,
    checked,
    numbered,
    slice_rows,
)
from keras_maskdef.datasets.pixels import as_integers, in_unit_range

# Raised for arrays of objects, which only pickle can read, and for damaged files.
_DAMAGE = (ValueError, zipfile.BadZipFile, zlib.error)


def parts_of(path: Path) -> dict[str, tuple[str, str]]:
    """The names of the arrays of images and of labels, for each part."""
    with _opened(path) as stored:
        there = {*stored.files}
    pairs = {WHOLE: ("x", "y")} | {part: (f"x_{part}", f"y_{part}") for part in SPLITS}
    parts = {part: pair for part, pair in pairs.items() if there.issuperset(pair)}
    if not parts:
        raise ValueError(
            f"{path} must hold the arrays `x` and `y`, or `x_test` and `y_test`. "
            f"Received: arrays {sorted(there)}"
        )
    return parts


def count(path: Path, part: str) -> int:
    """The number of images in a part."""
    (labels,) = _stored(path, parts_of(path)[part][1])
    return len(np.atleast_1d(labels))


def read(path: Path, part: str, rows: slice, split: str) -> ImageData:
    """Reads images `(n, height, width[, channels])` and their labels.

    The array `class_names` may name the classes; by default they are numbers.
    """
    pixels, labels = _arrays(path, part)
    class_names = _class_names(path)
    slice_rows(range(len(labels)), rows, split)
    images = in_unit_range(str(path), pixels, rows)
    numbers = as_integers(str(path), labels)
    if class_names is None:
        class_names = numbered(int(numbers.max()) + 1)
    if numbers.min() < 0 or numbers.max() >= len(class_names):
        raise ValueError(
            f"The labels of {path} must be from 0 to {len(class_names) - 1}. Received: "
            f"labels.min()={numbers.min()}, labels.max()={numbers.max()}"
        )
    return checked(str(path), images, numbers[rows], class_names)


def _arrays(path: Path, part: str) -> tuple[NDArray, NDArray]:
    x, y = parts_of(path)[part]
    pixels, labels = _stored(path, x, y)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or not len(pixels) or labels.shape[:1] != pixels.shape[:1]:
        raise ValueError(
            f"`{x}` of {path} must be images (n, height, width, channels), and `{y}` "
            f"a label for each. Received: {x}.shape={pixels.shape}, "
            f"{y}.shape={labels.shape}"
        )
    return pixels, labels


def _stored(path: Path, *names: str) -> list[NDArray]:
    with _opened(path) as stored:
        try:
            return [stored[name] for name in names if name in stored.files]
        except _DAMAGE as error:
            raise ValueError(
                f"{path} is damaged, or holds objects in place of numbers: {error}"
            ) from error


def _opened(path: Path) -> "np.lib.npyio.NpzFile":
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} must be a folder, or an .npz file of NumPy that is not damaged"
        )
    return np.load(path)


def _class_names(path: Path) -> tuple[str, ...] | None:
    arrays = _stored(path, "class_names")
    if not arrays:
        return None
    (names,) = arrays
    if names.ndim != 1 or names.dtype.kind not in "US" or len({*names}) < len(names):
        raise ValueError(
            f"`class_names` of {path} must be different strings, one for each class. "
            f"Received: class_names={names!r}"
        )
    return tuple(names.astype(str).tolist())
