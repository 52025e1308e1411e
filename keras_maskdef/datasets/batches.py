"""Labelled images from arrays or from the batches of a data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_maskdef.core.batches import batches_of, is_dataset, refuse_iterators
from keras_maskdef.core.image_data import ImageData, check_labels, numbered
from keras_maskdef.datasets.pixels import as_integers

# Images, labels, and the names of the classes if they are known.
Labelled = tuple[NDArray[np.float32], NDArray[np.int64], tuple[str, ...] | None]


def labelled_arrays(name: str, data: Any) -> Sequence[Any]:
    """Images, labels and maybe class names, as given or collected from batches."""
    if not isinstance(data, (tuple, list)):
        return of_batches(name, data)
    if len(data) not in (2, 3):
        raise ValueError(
            f"`{name}` must be images and labels, and maybe the names of the classes. "
            f"Received: {name} of {len(data)} parts"
        )
    return data


def as_image_data(name: str, data: Any) -> ImageData:
    """Returns arrays or batches as an `ImageData`, in the range of the images.

    Classes without names are named by their numbers.
    """
    images, labels, *named = labelled_arrays(name, data)
    names = named[0] if named else None
    images, labels, names = _checked(name, images, labels, names)
    if names is None:
        names = numbered(int(labels.max()) + 1)
    return ImageData(images, labels, names)


def of_batches(name: str, data: Any) -> Labelled:
    """All images and labels of a `tf.data.Dataset`, a `PyDataset` or a `DataLoader`.

    Images stay in their range, as float32. Labels may be integers, a column of them,
    or one-hot rows. A dataset's `class_names`, which Keras' reader of folders sets,
    are kept.

    Raises:
        TypeError: For anything else.
        ValueError: For batches without an end, or that are not images and labels.
    """
    refuse_iterators(name, data)
    if not is_dataset(data):
        raise TypeError(
            f"`{name}` must be arrays, `(images, labels)`, or a tf.data.Dataset, a "
            "PyDataset or a DataLoader of those. "
            f"Received: {name} of type {type(data).__name__}"
        )
    if batches_of(data) == float("inf"):
        raise ValueError(
            f"`{name}` must have an end; `.take(n)` gives a tf.data.Dataset one. "
            f"Received: {name}={data!r}"
        )
    pairs = [_pair(name, batch) for batch in _iterated(data)]
    if not pairs:
        raise ValueError(
            f"`{name}` must hold at least one image. Received: {name} without a batch"
        )
    images, labels = (list(part) for part in zip(*pairs, strict=True))
    if _are_single(images[0], labels[0]):
        images, labels = [x[None] for x in images], [y[None] for y in labels]
    sizes = sorted({batch.shape[1:] for batch in images})
    if len(sizes) > 1:
        raise ValueError(
            f"`{name}` must hold images of one size; `keras.layers.Resizing` makes "
            f"them so. Received: images of {' and '.join(map(str, sizes[:2]))}"
        )
    names = getattr(data, "class_names", None)
    return _checked(name, np.concatenate(images), np.concatenate(labels), names)


def _checked(name: str, images: Any, labels: Any, names: Any) -> Labelled:
    images = keras.ops.convert_to_numpy(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not len(images) or images.dtype.kind not in "biuf":
        raise ValueError(
            f"`{name}` must hold images (n, height, width, channels). "
            f"Received: images.shape={images.shape}, images.dtype={images.dtype}"
        )
    numbers = as_integers(f"`{name}`", keras.ops.convert_to_numpy(labels))
    numbers = check_labels(numbers, len(images))
    class_names = None if names is None else tuple(map(str, names))
    return images.astype("float32"), numbers, class_names


def _iterated(data: Any) -> Any:
    """Reads a `PyDataset` by index, as iterating over one has no end."""
    if isinstance(data, keras.utils.PyDataset):
        return (data[index] for index in range(len(data)))
    return data


def _pair(name: str, batch: Any) -> tuple[np.ndarray, np.ndarray]:
    parts = batch if isinstance(batch, (tuple, list)) else [batch]
    if any(isinstance(part, Mapping) for part in parts):
        raise ValueError(
            f"`{name}` must hold batches of `(images, labels)`; `dataset.map(lambda "
            'batch: (batch["image"], batch["label"]))` makes them of dictionaries. '
            "Received: dictionaries"
        )
    if len(parts) < 2:
        raise ValueError(
            f"`{name}` must hold the labels as well, `(images, labels)`. "
            f"Received: batches of {len(parts)} parts"
        )
    images, labels = (keras.ops.convert_to_numpy(part) for part in parts[:2])
    return images, labels


def _are_single(images: np.ndarray, labels: np.ndarray) -> bool:
    """Whether a data set is not batched: one image of three axes and one label.

    The label may be a one-hot row. Three axes with one label per entry of the first
    are a batch of grey images without an axis of channels.
    """
    return images.ndim == 3 and labels.shape[:1] != images.shape[:1]
