"""Reads a folder with one sub-folder of images per class."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from keras_maskdef.core.image_data import ImageData, checked, slice_rows
from keras_maskdef.datasets.pixels import (
    Size,
    Wanted,
    in_channels,
    note,
    resized,
    scaled_from,
)

NAMED = 3  # files in the warning about files that are left out


@dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Args:
        directory: The folder.
        paths: Class after class, files in alphabetical order.
        labels: The label of each path.
        class_names: The name of each label.
    """

    directory: str
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def mixed(self) -> "Listing":
        """The files in a fixed shuffled order, so that a slice is a fair sample."""
        order = np.random.default_rng(0).permutation(len(self.paths))
        paths = tuple(self.paths[index] for index in order)
        return Listing(self.directory, paths, self.labels[order], self.class_names)

    def sliced(self, rows: slice, split: str) -> "Listing":
        """The files of a slice."""
        paths = slice_rows(self.paths, rows, split)
        return Listing(self.directory, paths, self.labels[rows], self.class_names)


def class_names_in(root: Path) -> list[str]:
    """The names of the sub-folders that are not hidden, in order."""
    folders = [path.name for path in root.iterdir() if path.is_dir()]
    return ordered(n for n in folders if not n.startswith(".") and n != "__MACOSX")


def ordered(names: Iterable[str]) -> list[str]:
    """The distinct names, in numerical order if all are numbers, else alphabetical."""
    distinct = sorted({*names})
    return sorted(distinct, key=int) if all(map(str.isdecimal, distinct)) else distinct


def listed(
    directory: str | os.PathLike[str], class_names: Sequence[str] | None = None
) -> Listing:
    """The images of a folder that holds one folder of images per class.

    Args:
        directory: The folder.
        class_names: All classes, if there may be more than the folder has.

    Raises:
        FileNotFoundError: `directory` is not a folder.
        ValueError: It holds no class, or a class without images.
    """
    root = Path(directory)
    if not root.is_dir():
        raise FileNotFoundError(
            "`directory` must be a folder with one folder of images per class. "
            f"Received: directory={str(directory)!r}"
        )
    folder_names = class_names_in(root)
    names = tuple(class_names or folder_names)
    if not folder_names:
        raise ValueError(
            "`directory` must be a folder with one folder of images per class, and "
            f"has no folders. Received: directory={str(directory)!r}"
        )
    # The seed is unused without shuffling, but without one Keras draws from
    # NumPy's global generator.
    dataset = keras.utils.image_dataset_from_directory(
        directory,
        label_mode="int",
        class_names=folder_names,
        batch_size=None,
        image_size=(1, 1),
        shuffle=False,
        seed=0,
        data_format="channels_last",
        verbose=False,
    )
    files = (Path(path) for path in dataset.file_paths)
    paths = tuple(path for path in files if not path.name.startswith("."))
    classes = [path.relative_to(root).parts[0] for path in paths]
    for name in folder_names:
        if name not in classes:
            raise ValueError(
                "`directory` must hold images (JPEG, PNG, BMP or GIF) for every "
                f"class; there are none in {name!r}. "
                f"Received: directory={str(directory)!r}"
            )
    _tell_left_out(root, {*paths})
    labels = np.array([names.index(name) for name in classes])
    return Listing(str(directory), paths, labels, names)


def _tell_left_out(root: Path, paths: set[Path]) -> None:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    hidden = (".", "Thumbs.db")
    left = [p for p in files if p not in paths and not p.name.startswith(hidden)]
    if left:
        names = ", ".join(str(path.relative_to(root)) for path in left[:NAMED])
        more = ", ..." if len(left) > NAMED else ""
        note(
            f"{len(left)} files of {root} are left out, as they are no JPEG, PNG, BMP "
            f"or GIF in the folder of a class: {names}{more}"
        )


def read(listing: Listing, wanted: Wanted) -> ImageData:
    """Decodes the files.

    Args:
        listing: The files.
        wanted: The channels, by default 3, and the size, by default that of the files.

    Raises:
        ValueError: A file cannot be decoded, or images differ in size and none is
            wanted.
    """
    channels, size = wanted.channels or 3, wanted.size
    with ThreadPoolExecutor() as pool:

        def load(path: Path) -> tuple[Size, NDArray[np.float32]]:
            image = _decoded(path, channels, listing.directory)
            return image.shape[:2], resized(image, size)

        sizes: set[Size] = set()
        images = np.empty(0, np.float32)
        for index, (before, image) in enumerate(pool.map(load, listing.paths)):
            sizes.add(before)
            if index == 0:
                images = np.empty((len(listing.paths), *image.shape), np.float32)
            if size is None and len(sizes) > 1:
                raise ValueError(
                    "`image_size` must be given for images of different sizes. "
                    f"Received: image_size=None, images of {_from_to(sizes)} pixels in "
                    f"{listing.directory!r}"
                )
            images[index] = image
    if size is not None and sizes != {size}:
        wanted.tell(scaled_from(_from_to(sizes), size))
    images /= 255
    return checked(listing.directory, images, listing.labels, listing.class_names)


def _from_to(sizes: set[Size]) -> str:
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    ends = [f"{height}x{width}" for height, width in (ordered[0], ordered[-1])]
    return ends[0] if len(sizes) == 1 else f"{ends[0]} to {ends[1]}"


def _decoded(path: Path, channels: int, directory: str) -> NDArray[np.uint8]:
    """Decodes a file to 8 bits a channel, an animation to its first image."""
    import tensorflow as tf

    try:
        image = tf.io.decode_image(path.read_bytes(), expand_animations=False).numpy()
    except (OSError, tf.errors.OpError) as error:
        raise ValueError(
            f"`directory` holds a file that is not a readable image: {path}. "
            f"Received: directory={directory!r}"
        ) from error
    return in_channels(image, channels)


def check_size(image_size: object) -> Size:
    """Returns `(height, width)`, or raises unless it is two positive integers."""
    sizes = image_size if isinstance(image_size, Sequence) else ()
    if len(sizes) != 2 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ValueError(
            "`image_size` must be (height, width), two positive integers. "
            f"Received: image_size={image_size}"
        )
    return sizes[0], sizes[1]
