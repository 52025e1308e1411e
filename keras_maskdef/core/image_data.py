"""Labelled images as arrays, and checks that all data sets share."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The only split of an undivided data set, and the splits of divided ones.
WHOLE = "all"
HELD_OUT = ("test", "validation", "valid", "val")
SPLITS = ("train", *HELD_OUT)


class ImageData(NamedTuple):
    """Labelled images; unpacks as `images, labels, class_names`.

    Attributes:
        images: `(n, height, width, channels)` float32 in [0, 1].
        labels: `(n,)` int64, from 0 to `len(class_names) - 1`.
        class_names: Names of the labels.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]


def numbered(count: int) -> tuple[str, ...]:
    """Names for unnamed classes: their indices."""
    return tuple(map(str, range(count)))


def are_numbers(class_names: Sequence[str]) -> bool:
    """Whether classes are named by their indices only."""
    return tuple(class_names) == numbered(len(class_names))


def checked(
    name: str, images: NDArray[np.float32], labels: Any, class_names: Sequence[str]
) -> ImageData:
    """Returns the `ImageData`, or raises ValueError if it is not valid."""
    labels = np.asarray(labels, np.int64)
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise damaged(
            name, f"images of shape {images.shape}, labels of shape {labels.shape}"
        )
    # Written so that NaN fails.
    if not (images.min() >= 0 and images.max() <= 1):
        raise damaged(name, "pixels outside their range")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise damaged(name, f"labels outside 0 to {len(class_names) - 1}")
    return ImageData(images, labels, tuple(class_names))


def check_labels(
    labels: Any, images: int, classes: int | None = None
) -> NDArray[np.int64]:
    """Returns labels as an int64 array, or raises ValueError.

    Called before predictions are compared with labels: NumPy would compare a column of
    labels with every prediction, and strings with none.

    Args:
        labels: Integers `(images,)`.
        images: Number of images.
        classes: Number of classes; any by default.
    """
    array = np.asarray(labels)
    span = "from 0" if classes is None else f"from 0 to {classes - 1}"
    if array.shape != (images,) or not np.issubdtype(array.dtype, np.integer):
        column = ", as of `labels[:, 0]`" if array.shape == (images, 1) else ""
        raise ValueError(
            f"`labels` must be {images} integers {span}, one for each image: an array "
            f"of shape ({images},){column}. "
            f"Received: labels.shape={array.shape}, labels.dtype={array.dtype}"
        )
    if images and (array.min() < 0 or (classes and array.max() >= classes)):
        raise ValueError(
            f"`labels` must be integers {span}. Received: "
            f"labels.min()={array.min()}, labels.max()={array.max()}"
        )
    return array.astype(np.int64, copy=False)


def parse_split(split: str, names: tuple[str, ...]) -> tuple[str, slice]:
    """Splits `"train[2:-1]"` into `"train"` and `slice(2, -1)`."""
    if not isinstance(split, str):
        raise TypeError(f"`split` must be a string. Received: split={split!r}")
    match = re.fullmatch(r"(\w+)(?:\[(-?\d+)?:(-?\d+)?\])?", split)
    if match is None or match[1] not in names:
        raise ValueError(
            f"`split` must be one of {names} or a slice of one in whole numbers such "
            f"as '{names[0]}[:100]'. Received: split={split!r}"
        )
    return match[1], slice(*(int(end) if end else None for end in match.groups()[1:]))


def slice_rows(rows: Any, chosen: slice, split: str) -> Any:
    for end in (chosen.start, chosen.stop):
        if end is not None and abs(end) > len(rows):
            raise ValueError(
                f"`split` must stay within the {len(rows)} images that there are. "
                f"Received: split={split!r}"
            )
    if not len(rows[chosen]):
        raise empty_split(split)
    return rows[chosen]


def empty_split(split: str) -> ValueError:
    return ValueError(f"`split` must select an image. Received: split={split!r}")


def damaged(name: str, what: str) -> ValueError:
    return ValueError(
        f"The stored data set {name!r} is damaged: {what}. Delete its folder and get "
        "it again"
    )
