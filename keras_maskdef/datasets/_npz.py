"""Reads images and labels from an `.npz` file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_maskdef._image_data import ImageData, checked, slice_rows
from keras_maskdef.datasets._pixels import as_integers, in_unit_range

WHOLE = "all"
PARTS = ("train", "test", "validation", "val")


def parts_of(path: Path) -> dict[str, tuple[str, str]]:
    """The names of the two arrays of each part."""
    with _opened(path) as stored:
        there = {*stored.files}
    pairs = {WHOLE: ("x", "y")} | {part: (f"x_{part}", f"y_{part}") for part in PARTS}
    found = {part: pair for part, pair in pairs.items() if there.issuperset(pair)}
    if not found:
        raise ValueError(
            f"{path} must hold the arrays `x` and `y`, or `x_test` and `y_test`. "
            f"Received: arrays {sorted(there)}"
        )
    return found


def count(path: Path, part: str) -> int:
    """How many images a part has."""
    with _opened(path) as stored:
        return len(stored[parts_of(path)[part][1]])


def read(path: Path, part: str, rows: slice, split: str) -> ImageData:
    """Images `(n, height, width)` or `(n, height, width, channels)`, and their labels.

    The array `class_names` may name the classes; by default they are numbers.
    """
    pixels, labels, class_names = _arrays(path, part)
    slice_rows(range(len(labels)), rows, split)
    images = in_unit_range(str(path), pixels, rows)
    found = as_integers(str(path), labels)
    if class_names is None:
        class_names = tuple(str(number) for number in range(int(found.max()) + 1))
    return checked(str(path), images, found[rows], class_names)


def _arrays(path: Path, part: str) -> tuple[NDArray, NDArray, tuple[str, ...] | None]:
    x, y = parts_of(path)[part]
    with _opened(path) as stored:
        try:
            pixels, labels = stored[x], stored[y]
            named = "class_names" in stored.files
            names = tuple(map(str, stored["class_names"])) if named else None
        except ValueError as error:  # of objects, which only pickle can read
            raise ValueError(f"{path} must hold arrays of numbers: {error}") from error
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or not len(pixels) or len(labels) != len(pixels):
        raise ValueError(
            f"`{x}` of {path} must be images (n, height, width, channels), and `{y}` "
            f"a label for each. Received: {x}.shape={pixels.shape}, "
            f"{y}.shape={labels.shape}"
        )
    return pixels, labels, names


def _opened(path: Path) -> "np.lib.npyio.NpzFile":
    try:
        stored = np.load(path)
    except (EOFError, OSError, ValueError) as error:
        if not path.exists():
            raise
        raise ValueError(f"{path} must be an .npz file of NumPy: {error}") from error
    if not isinstance(stored, np.lib.npyio.NpzFile):
        raise ValueError(f"{path} must be an .npz file of several arrays")
    return stored
