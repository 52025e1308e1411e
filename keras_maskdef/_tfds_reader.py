"""Reads data sets through tensorflow-datasets."""

import os

import numpy as np

from keras_maskdef._extra import require
from keras_maskdef._image_data import (
    ImageData,
    checked,
    damaged,
    empty_split,
)
from keras_maskdef._tiny_imagenet import ARCHIVE


def read(
    name: str, split: str, data_dir: str | os.PathLike[str] | None, download: bool
) -> ImageData:
    """Reads one split of a data set of tensorflow-datasets into memory."""
    import tensorflow as tf

    tfds = require("tensorflow_datasets", "data")
    if not isinstance(split, str):
        raise TypeError(f"`split` must be a string. Received: split={split!r}")
    # tensorflow-datasets reads the variable once, when it is imported.
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR
    try:
        builder = tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError as error:
        raise _missing(name, folder) from error
    if download:
        builder.download_and_prepare()
    elif not builder.is_prepared():
        raise _missing(name, folder)
    try:
        expected = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`split` must be one of {sorted(builder.info.splits)} of {name!r} or a "
            f"slice of one such as 'train[:100]': {error} Received: split={split!r}"
        ) from error
    if not expected:
        raise empty_split(split)
    try:
        images, labels = tfds.as_numpy(
            builder.as_dataset(
                split=split,
                batch_size=-1,
                as_supervised=True,
                # Read once: a cache would only be a second copy.
                read_config=tfds.ReadConfig(try_autocache=False),
            )
        )
    except (tf.errors.OpError, AssertionError) as error:
        raise damaged(name, str(error)) from error
    if len(images) != expected:
        raise damaged(name, f"{len(images)} of {expected} images can be read")
    scaled = images.astype(np.float32)
    scaled /= 255
    return checked(name, scaled, labels, builder.info.features["label"].names)


def _missing(name: str, folder: str | os.PathLike[str]) -> FileNotFoundError:
    if name == "tiny_imagenet_subset":
        remedy = (
            "It cannot be downloaded. Pass the folder that holds it as `data_dir` or "
            "in TFDS_DATA_DIR, or use `datasets.tiny_imagenet` on the official "
            f"archive {ARCHIVE}"
        )
    else:
        remedy = (
            "Pass the folder that holds it as `data_dir` or in TFDS_DATA_DIR, or "
            'download it: python -c "from keras_maskdef import datasets; '
            f'datasets.{name}(data_dir={str(folder)!r}, download=True)"'
        )
    return FileNotFoundError(f"The data set {name!r} is not in {folder}. {remedy}")
