"""The images of a masker's pass, in any form that `fit` takes and can take again."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_maskdef._batches import ShuffledBatches


def masker_data(data: Any, batch_size: int, seed: int) -> Any:
    """Returns what `fit` is to iterate; arrays become `ShuffledBatches`.

    Raises:
        TypeError: For a generator, which gives its images once only.
        ValueError: For data known to hold no batch.
    """
    if inspect.isgenerator(data) or (hasattr(data, "__next__")):
        raise TypeError(
            "`data` must be iterable once an epoch: arrays, a tf.data.Dataset, a "
            f"PyDataset or a DataLoader. Received: data={data!r}"
        )
    if isinstance(data, Sequence) and not isinstance(data, keras.utils.PyDataset):
        data = data[0] if len(data) else np.empty(0)
    if not _is_dataset(data):
        data = ShuffledBatches((_images(data),), batch_size, seed)
    if _batches(data) == 0:
        raise ValueError(f"`data` must hold at least one batch. Received: data={data}")
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
    """Returns data to evaluate on, or raises where it is known to have no labels."""
    spec = getattr(data, "element_spec", data)
    arrays = isinstance(spec, Sequence) and not isinstance(spec, keras.utils.PyDataset)
    known = arrays or hasattr(data, "element_spec") or hasattr(data, "shape")
    if data is not None and known and (not arrays or len(spec) < 2):
        raise ValueError(
            "`validation_data` must hold images and their labels, `(x, y)` or a "
            f"dataset of such batches. Received: {type(data).__name__}"
        )
    return data


def image_shape(data: Any) -> tuple | None:
    """The shape of an image in the data, or None where only iterating would tell."""
    spec = getattr(data, "element_spec", None)
    if spec is None and isinstance(data, keras.utils.PyDataset):
        spec = data[0]
    images = spec[0] if isinstance(spec, (tuple, list)) else spec
    shape = getattr(images, "shape", None)
    rank = getattr(shape, "rank", 0 if shape is None else len(shape))
    return tuple(shape)[1:] if shape is not None and rank else None


def batch_size_of(data: Any) -> int | None:
    """How many images a batch has, where the data tells."""
    if isinstance(data, ShuffledBatches):
        return data.batch_size
    if isinstance(getattr(data, "batch_size", None), int):  # a DataLoader
        return data.batch_size
    spec = getattr(data, "element_spec", None)
    images = spec[0] if isinstance(spec, (tuple, list)) else spec
    shape = getattr(images, "shape", None)
    return shape[0] if shape is not None and shape.rank else None


def _is_dataset(data: Any) -> bool:
    named = {kind.__name__ for kind in type(data).__mro__}
    return isinstance(data, keras.utils.PyDataset) or bool(
        named & {"DatasetV2", "DataLoader", "DistributedDataset"}
    )


def _batches(data: Any) -> int | None:
    if hasattr(data, "cardinality"):
        return int(data.cardinality())
    return len(data) if hasattr(data, "__len__") else None
