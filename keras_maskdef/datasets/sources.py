"""Sources of stored images: named data sets, tensorflow-datasets, folders, files."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Protocol

from keras_maskdef.core.image_data import (
    HELD_OUT,
    SPLITS,
    WHOLE,
    ImageData,
    parse_split,
)
from keras_maskdef.datasets import folders, from_tfds, npz_files
from keras_maskdef.datasets.pixels import Wanted

DataDir = str | os.PathLike[str] | None
TFDS = "tfds:"


class Source(Protocol):
    """Labelled images that are stored somewhere."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its splits; `"all"` where there are none."""

    def read(self, split: str, wanted: Wanted) -> ImageData:
        """Images of a split or a slice of one.

        Args:
            split: Such as `"test[:200]"`.
            wanted: Channels and size, where the files do not determine them.
        """

    def count(self, part: str) -> int | None:
        """The number of images in a part; None if only reading would show it."""


def held_out(source: Source) -> str:
    """The part to evaluate on."""
    return _chosen(source, HELD_OUT)


def to_train_on(source: Source) -> str:
    """The part to train on."""
    return _chosen(source, ("train",))


def _chosen(source: Source, wanted: tuple[str, ...]) -> str:
    parts = source.parts
    matching = [part for part in wanted if part in parts]
    if not matching and len(parts) > 1:
        raise ValueError(
            f"`split` must be given where there is no {wanted[0]!r}. "
            f"Received: split=None, and {', '.join(parts)}"
        )
    return matching[0] if matching else parts[0]


def first(source: Source, part: str, images: int) -> str:
    """The split of the first `images` of a part, or of all if it has fewer."""
    count = source.count(part)
    return f"{part}[:{images if count is None else min(images, count)}]"


class Named:
    """A data set of `datasets.NAMES`."""

    def __init__(self, name: str, load: Callable[[str], ImageData]) -> None:
        self.name, self._load = name, load

    @property
    def parts(self) -> tuple[str, ...]:
        # The test images of Tiny-ImageNet have no labels.
        tiny = self.name.startswith("tiny_imagenet")
        return "train", "validation" if tiny else "test"

    def read(self, split: str, wanted: Wanted) -> ImageData:
        return self._load(split)

    def count(self, part: str) -> int | None:
        return None


class Tfds:
    """A data set of tensorflow-datasets."""

    def __init__(self, name: str, data_dir: DataDir, download: bool) -> None:
        self.name, self._where = name, (data_dir, download)

    @cached_property
    def _counts(self) -> dict[str, int]:
        return from_tfds.counts(self.name, *self._where)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._counts)

    def read(self, split: str, wanted: Wanted) -> ImageData:
        return from_tfds.read(self.name, split, *self._where, wanted)

    def count(self, part: str) -> int | None:
        # For an unknown part, `read` raises the error.
        return self._counts.get(part)


class Folder:
    """A folder with one folder per class, or with such folders `train` and `test`."""

    def __init__(self, path: Path) -> None:
        inside = folders.class_names_in(path)
        named = {name.casefold(): path / name for name in inside}
        splits = {split: named[split] for split in SPLITS if split in named}
        if len(splits) > 1 and len(splits) < len(inside):
            raise ValueError(
                "A folder must have a folder per class, or folders of such for splits, "
                f"and not both. Received: {path} with {', '.join(inside)}"
            )
        # One folder with the name of a split is a class among others.
        whole = not splits or len(splits) < len(inside)
        self._folders = {WHOLE: path} if whole else splits
        # Of all splits, so that a label means the same class in all of them.
        self._class_names = folders.ordered(
            name
            for folder in self._folders.values()
            for name in folders.class_names_in(folder)
        )
        self.parts = tuple(self._folders)
        self._listings: dict[str, folders.Listing] = {}

    def read(self, split: str, wanted: Wanted) -> ImageData:
        part, rows = parse_split(split, self.parts)
        files = self._listed(part).mixed().sliced(rows, split)
        return folders.read(files, wanted)

    def count(self, part: str) -> int | None:
        return len(self._listed(part).paths) if part in self.parts else None

    def _listed(self, part: str) -> folders.Listing:
        if part not in self._listings:
            folder = self._folders[part]
            self._listings[part] = folders.listed(folder, self._class_names)
        return self._listings[part]


class Npz:
    """An `.npz` file of `x` and `y`, or of `x_train`, `y_train`, `x_test`, `y_test`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = tuple(npz_files.parts_of(path))

    def read(self, split: str, wanted: Wanted) -> ImageData:
        part, rows = parse_split(split, self.parts)
        return npz_files.read(self.path, part, rows, split)

    def count(self, part: str) -> int | None:
        return npz_files.count(self.path, part) if part in self.parts else None
