"""The images of a masker's pass, in any form that `fit` can iterate repeatedly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_maskdef.core.batches import (
    ShuffledBatches,
    batches_of,
    is_dataset,
    refuse_iterators,
)


def masker_data(data: Any, batch_size: int, seed: int, steps: int | None) -> Any:
    """Returns the data that `fit` iterates; arrays become `ShuffledBatches`.

    Raises:
        TypeError: For a generator, which can be iterated only once, or dictionaries.
        ValueError: For data known to hold no batch, or to have no end without `steps`.
    """
    refuse_iterators("data", data)
    if isinstance(data, Sequence) and not isinstance(data, keras.utils.PyDataset):
        data = data[0] if len(data) else np.empty(0)
    _images_of("data", getattr(data, "element_spec", data))
    if not is_dataset(data):
        data = ShuffledBatches((_images(data),), batch_size, seed)
    batches = batches_of(data)
    if batches == 0:
        raise ValueError(f"`data` must hold at least one batch. Received: data={data}")
    if batches == math.inf and steps is None:
        raise ValueError(
            "`steps_per_epoch` must be given where `data` has no end, or a pass would "
            f"have none. Received: steps_per_epoch=None, data={data!r}"
        )
    return data


def _images(data: Any) -> np.ndarray:
    images = np.asarray(data)
    if images.ndim == 0 or images.dtype == object:
        raise TypeError(
            "`data` must be images, `(x, y)` or a dataset of batches. "
            f"Received: data={data!r}"
        )
    if len(images) and not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            "`data` must be floating point images, in the masker's `value_range`. "
            f"Received: data of dtype {images.dtype}"
        )
    return images


def check_labelled(data: Any) -> Any:
    """Returns data to evaluate on, or raises where it is unsuitable.

    That is data has_structure to have no labels, data without an end, or an iterator.
    """
    refuse_iterators("validation_data", data)
    spec = getattr(data, "element_spec", data)
    arrays = isinstance(spec, Sequence) and not isinstance(spec, keras.utils.PyDataset)
    has_structure = arrays or hasattr(data, "element_spec") or hasattr(data, "shape")
    _images_of("validation_data", spec)
    if data is not None and has_structure and (not arrays or len(spec) < 2):
        raise ValueError(
            "`validation_data` must hold images and their labels, `(x, y)` or a "
            f"dataset of such batches. Received: {type(data).__name__}"
        )
    if is_dataset(data) and batches_of(data) == math.inf:
        raise ValueError(
            "`validation_data` must have an end; `.take(n)` gives a tf.data.Dataset "
            f"one. Received: validation_data={data!r}"
        )
    return data


def image_shape(data: Any) -> tuple | None:
    """The shape of an image in the data, or None where only iteration would show it."""
    spec = getattr(data, "element_spec", None)
    if spec is None and isinstance(data, keras.utils.PyDataset):
        spec = data[0]
    shape = getattr(_images_of("data", spec), "shape", None)
    rank = getattr(shape, "rank", 0 if shape is None else len(shape))
    return tuple(shape)[1:] if shape is not None and rank else None


def batch_size_of(data: Any) -> int | None:
    """The number of images in a batch, or None where the data does not state it."""
    if isinstance(data, ShuffledBatches):
        return data.batch_size
    if isinstance(getattr(data, "batch_size", None), int):  # a DataLoader
        return data.batch_size
    images = _images_of("data", getattr(data, "element_spec", None))
    shape = getattr(images, "shape", None)
    return shape[0] if shape is not None and shape.rank else None


def _images_of(name: str, batch: Any) -> Any:
    """The images of a batch, or of the spec of batches."""
    images = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if isinstance(images, Mapping):
        raise TypeError(
            f"`{name}` must be images or `(x, y)`, not dictionaries of them; "
            '`dataset.map(lambda batch: (batch["images"], batch["labels"]))` makes '
            "them so. Received: a dictionary with the keys "
            f"{sorted(map(str, images))}"
        )
    return images
