"""Reads data sets through tensorflow-datasets."""

import os
from typing import Any

import numpy as np

from keras_maskdef.core.extras import require
from keras_maskdef.core.image_data import (
    ImageData,
    checked,
    damaged,
    empty_split,
)
from keras_maskdef.datasets.pixels import (
    ANYTHING,
    Wanted,
    in_channels,
    resized,
    scaled_from,
)
from keras_maskdef.datasets.tiny_imagenet_folder import ARCHIVE

DataDir = str | os.PathLike[str] | None
# Names that `datasets.load` takes without "tfds:".
OWN = ("cifar10", "mnist", "svhn_cropped")


def read(
    name: str,
    split: str,
    data_dir: DataDir,
    download: bool,
    wanted: Wanted = ANYTHING,
) -> ImageData:
    """Reads one split of a data set of tensorflow-datasets into memory.

    Args:
        name: Name of the data set in tensorflow-datasets.
        split: Split or slice, as tensorflow-datasets writes them.
        data_dir: Folder of tensorflow-datasets.
        download: Whether tensorflow-datasets may download a missing data set.
        wanted: Channels and size for images that differ in size; ignored for others.
    """
    import tensorflow as tf

    if not isinstance(split, str):
        raise TypeError(f"`split` must be a string. Received: split={split!r}")
    builder = _prepared(name, data_dir, download)
    keys = _keys(name, builder)
    image, label = (builder.info.features[key] for key in keys)
    expected = _count(name, builder, split)
    if not expected:
        raise empty_split(split)
    vary = None in (image.shape or (None,))
    if vary and wanted.size is None:
        raise ValueError(
            f"`image_size` must be given: the images of {name!r} differ in size. "
            "Received: image_size=None"
        )
    try:
        images, labels = _pixels(builder, keys, split, wanted if vary else None)
    except (tf.errors.OpError, AssertionError) as error:
        raise damaged(name, str(error)) from error
    if len(labels) != expected:
        raise damaged(name, f"{len(labels)} of {expected} images can be read")
    if vary and wanted.size:
        wanted.tell(scaled_from("different numbers of", wanted.size))
    images = images.astype(np.float32)
    images /= 65535 if image.np_dtype == np.uint16 else 255
    if min(labels) < 0:
        raise ValueError(
            f"`split` must have labels, and that of {name!r} has none. "
            f"Received: split={split!r}"
        )
    return checked(name, images, labels, label.names)


def _pixels(
    builder: Any, keys: tuple[str, str], split: str, scaled: Wanted | None
) -> tuple[Any, Any]:
    """Returns all images, scaled one by one if `scaled` is given, and labels."""
    tfds = require("tensorflow_datasets", "data")
    # Only these two features are decoded; a cache would only be a second copy.
    rows = builder.as_dataset(
        split=split,
        batch_size=None if scaled else -1,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    image, label = keys
    if not scaled:
        whole = tfds.as_numpy(rows)
        return whole[image], whole[label]
    images, labels = [], []
    for row in rows.as_numpy_iterator():
        picture = in_channels(row[image], scaled.channels or 3)
        images.append(resized(picture, scaled.size))
        labels.append(row[label])
    return np.stack(images), np.array(labels)


def counts(name: str, data_dir: DataDir, download: bool) -> dict[str, int]:
    """The number of images in each split."""
    builder = _prepared(name, data_dir, download)
    return {split: info.num_examples for split, info in builder.info.splits.items()}


def _prepared(name: str, data_dir: DataDir, download: bool) -> Any:
    tfds = require("tensorflow_datasets", "data")
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
    return builder


def _keys(name: str, builder: Any) -> tuple[str, str]:
    """The keys of images and labels; raises ValueError without such features."""
    tfds = require("tensorflow_datasets", "data")
    info = builder.info
    pair = info.supervised_keys or ("image", "label")
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    features = dict(info.features)
    present = [features[key] for key in pair if key in features]
    if len(present) != 2 or not all(map(isinstance, present, kinds)):
        raise ValueError(
            "`source` must be a data set of images and their classes. "
            f"Received: {name!r} with the features {sorted(info.features)}"
        )
    return pair[0], pair[1]


def _count(name: str, builder: Any, split: str) -> int:
    try:
        return builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`split` must be one of {sorted(builder.info.splits)} of {name!r} or a "
            f"slice of one such as 'train[:100]': {error} Received: split={split!r}"
        ) from error


def _missing(name: str, folder: str | os.PathLike[str]) -> FileNotFoundError:
    if name == "tiny_imagenet_subset":
        remedy = (
            "It cannot be downloaded. Pass the folder that holds it as `data_dir` or "
            "in TFDS_DATA_DIR, or use `datasets.tiny_imagenet` on the official "
            f"archive {ARCHIVE}"
        )
    else:
        source = name if name in OWN else f"tfds:{name}"
        remedy = (
            "Pass the folder that holds it as `data_dir` or in TFDS_DATA_DIR, or "
            'download it: python -c "from keras_maskdef import datasets; '
            f'datasets.load({source!r}, data_dir={str(folder)!r}, download=True)"'
        )
    return FileNotFoundError(f"The data set {name!r} is not in {folder}. {remedy}")
