"""Reads the folder of the official Tiny-ImageNet archive."""

import errno
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_maskdef.core.image_data import ImageData, checked, parse_split, slice_rows

ARCHIVE = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


def read(root: Path, split: str) -> ImageData:
    """Reads one split of the archive unpacked at `root`."""
    part, chosen = parse_split(split, ("train", "validation"))
    try:
        wnids = (root / "wnids.txt").read_text().split()
        words = dict(_columns(root / "words.txt"))
        names = tuple(words[wnid].split(",")[0] for wnid in wnids)
        files = _training_files if part == "train" else _validation_files
        pairs = files(root, {wnid: label for label, wnid in enumerate(wnids)})
        if not pairs:
            raise ValueError("no images are listed")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            "`directory` must be the unpacked archive of Tiny-ImageNet: download "
            f"{ARCHIVE} and pass its folder tiny-imagenet-200; "
            f"{error.filename} is missing. Received: directory={str(root)!r}"
        ) from error
    except (KeyError, ValueError) as error:
        raise ValueError(
            "The class lists of the archive in `directory` do not fit together "
            f"({error!r}); unpack it again. Received: directory={str(root)!r}"
        ) from error
    pairs = slice_rows(pairs, chosen, split)
    images = _decoded([path for path, _ in pairs], (64, 64, 3))
    return checked("tiny_imagenet", images, [label for _, label in pairs], names)


def _training_files(root: Path, labels: dict[str, int]) -> list[tuple[Path, int]]:
    """Paths and labels of the training images, alternating between classes."""
    ranked = []
    for wnid, label in labels.items():
        folder = root / "train" / wnid / "images"
        paths = sorted(folder.glob("*.JPEG"))
        if not paths:
            raise FileNotFoundError(errno.ENOENT, "no images", folder / "*.JPEG")
        ranked += [(rank, label, path) for rank, path in enumerate(paths)]
    return [(path, label) for _, label, path in sorted(ranked)]


def _validation_files(root: Path, labels: dict[str, int]) -> list[tuple[Path, int]]:
    folder = root / "val"
    return [
        (folder / "images" / name, labels[wnid])
        for name, wnid, *_ in _columns(folder / "val_annotations.txt")
    ]


def _columns(path: Path) -> list[list[str]]:
    """The tab-separated columns of the lines of a text file, without blank lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line.strip()]


def _decoded(paths: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Decodes image files of one shape into float32 in [0, 1]."""
    import tensorflow as tf

    def decode(path: Path) -> NDArray[np.uint8]:
        try:
            image = tf.io.decode_jpeg(path.read_bytes(), channels=shape[-1]).numpy()
        except (OSError, tf.errors.OpError) as error:
            raise ValueError(
                f"{path} is not a readable JPEG image; unpack the archive again"
            ) from error
        if image.shape != shape:
            raise ValueError(
                f"{path} must be an image of shape {shape}. "
                f"Received: shape={image.shape}"
            )
        return image

    images = np.empty((len(paths), *shape), np.float32)
    with ThreadPoolExecutor() as pool:
        for index, image in enumerate(pool.map(decode, paths)):
            images[index] = image
    images /= 255
    return images
