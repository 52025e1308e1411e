"""Batches that a data set iterates over, as arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_maskdef._batches import batches_of, is_dataset, refuse_iterators
from keras_maskdef._image_data import ImageData, check_labels
from keras_maskdef.datasets._pixels import as_integers


def labelled_arrays(name: str, data: Any) -> Sequence[Any]:
    """Images and labels, and what may follow: arrays, or batches of a data set."""
    return data if isinstance(data, (tuple, list)) else of_batches(name, data)


def of_batches(name: str, data: Any) -> ImageData:
    """All images and labels of a `tf.data.Dataset`, a `PyDataset` or a `DataLoader`.

    Images stay in their range, as float32. Labels may be integers, a column of them,
    or one-hot rows. A dataset's `class_names` are kept, as Keras' reader of folders
    has them; else classes are named by their numbers.

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
    images, labels = (_joined(part) for part in zip(*pairs, strict=True))
    found = check_labels(as_integers(f"`{name}`", labels), len(images))
    names = getattr(data, "class_names", None) or range(int(found.max()) + 1)
    return ImageData(images.astype("float32"), found, tuple(map(str, names)))


def _iterated(data: Any) -> Any:
    """A `PyDataset` by its length: iterating over one has no end."""
    if isinstance(data, keras.utils.PyDataset):
        return (data[index] for index in range(len(data)))
    return data


def _pair(name: str, batch: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(batch, Mapping) or not isinstance(batch, (tuple, list)):
        raise ValueError(
            f"`{name}` must hold batches of `(images, labels)`; `dataset.map(lambda "
            'batch: (batch["image"], batch["label"]))` makes them of dictionaries. '
            f"Received: batches of type {type(batch).__name__}"
        )
    if len(batch) < 2:
        raise ValueError(
            f"`{name}` must hold the labels as well, `(images, labels)`. "
            f"Received: batches of {len(batch)} parts"
        )
    images, labels = (keras.ops.convert_to_numpy(part) for part in batch[:2])
    return images, labels


def _joined(parts: Any) -> np.ndarray:
    """Of batches, or of single images of a dataset that is not batched."""
    single = parts[0].ndim == 3 or parts[0].ndim == 0
    return np.stack(parts) if single else np.concatenate(parts)
