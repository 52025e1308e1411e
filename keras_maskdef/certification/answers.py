"""The classifier's answers for masked views, at its full throughput."""

import platform
from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np

from keras_maskdef._version import __version__
from keras_maskdef.certification.parts import Parts
from keras_maskdef.core.compat import graph_of, nodes_of
from keras_maskdef.core.image_shape import grid_shape

# Larger batches are no faster: LeNet on two cores, 65,536 inputs in 3.1 s with 1,024,
# 3.0 s with 2,048 and 3.4 s with 4,096.
_BATCH = 2048
# Masks may take this part of the memory, beside the views.
_PART_OF_MASKS = 4
# One view in so many is compared with the reference, and a batch's first and last.
_RECHECKED = 8


class Answers:
    """Predicts the classes of images under masks.

    Equal views are predicted once: those of masks drawn twice, and of masks that differ
    only in cells that look the same hidden and visible. For a digit of MNIST the 65,536
    masks of 16 cells leave 2,200 different views on average.

    Args:
        parts: The defence.
        image_shape: Shape of one image.
        memory: Bytes for the views in work and all outputs of the classifier's layers;
            at least one view is in work. Masks may take a quarter as much besides.

    Attributes:
        views: Number of views that were predicted, for each image of the last call.
    """

    def __init__(self, parts: Parts, image_shape: tuple[int, ...], memory: int) -> None:
        self._parts = parts
        mask = parts.mask
        self._grid = grid_shape(image_shape, mask.cell_size, mask.data_format)
        self._batch = max(
            1, min(_BATCH, memory // _bytes_of_a_view(parts.classifier, image_shape))
        )
        self._memory_of_masks = memory // _PART_OF_MASKS
        self._random = np.random.default_rng(0)
        self.views: np.ndarray = np.zeros(0, int)

    @property
    def cells(self) -> int:
        return prod(self._grid)

    def images_at_once(self, masks: int) -> int:
        """How many images to predict at once, under `masks` masks each."""
        # Masks are copied, packed and sorted, and their views are numbered.
        bytes_of_image = masks * (4 * self.cells + 64)
        return max(1, self._memory_of_masks // bytes_of_image)

    def outputs(self, views: np.ndarray) -> np.ndarray:
        """The classifier's outputs for views, `(n, classes)`."""
        return np.asarray(self._parts.classifier.predict_on_batch(views))

    def __call__(
        self, images: np.ndarray, masks: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Predicts the classes of images, each under its own masks.

        Args:
            images: `(images, ...)`, as the mask sees them.
            masks: For each image, booleans `(masks, cells)`: the hidden cells.

        Returns:
            For each image, integers `(masks,)`.
        """
        blank = self._blank(images)
        unlike = [
            distinct(hidden | empty) for hidden, empty in zip(masks, blank, strict=True)
        ]
        keep = np.concatenate([~rows for rows, _ in unlike])
        self.views = np.array([len(rows) for rows, _ in unlike])
        owner = np.repeat(np.arange(len(images)), self.views)
        labels = self._labels(images, owner, keep)
        by_image = np.split(labels, np.cumsum(self.views)[:-1])
        return [
            labels[place] for labels, (_, place) in zip(by_image, unlike, strict=True)
        ]

    def _labels(
        self, images: np.ndarray, owner: np.ndarray, keep: np.ndarray
    ) -> np.ndarray:
        labels = np.empty(len(keep), "int32")
        for start in range(0, len(keep), self._batch):
            rows = np.arange(start, start + self._batch)
            # Every batch is full, so that nothing is compiled twice.
            rows = np.minimum(rows, len(keep) - 1)
            visible = keep[rows].reshape(-1, *self._grid)
            views = self._parts.hide(images[owner[rows]], visible)
            self._recheck(images, owner[rows], visible, views)
            classes = self.outputs(views).argmax(axis=-1)
            labels[start : start + self._batch] = classes[: len(keep) - start]
        return labels

    def _recheck(
        self,
        images: np.ndarray,
        owner: np.ndarray,
        visible: np.ndarray,
        views: np.ndarray,
    ) -> None:
        """Compares some views of a batch with the reference, bit by bit.

        Raises:
            RuntimeError: If one differs: nothing would be proven.
        """
        count = len(views)
        drawn = self._random.integers(count, size=count // _RECHECKED)
        places = np.unique([0, count - 1, *drawn])
        right = self._parts.hide_by_reference(images[owner[places]], visible[places])
        differ = _bits(views[places]) != _bits(right)
        if differ.any():
            import llvmlite
            import numba

            config: Any = numba.config
            wrong = np.flatnonzero(differ.reshape(len(places), -1).any(axis=1))
            raise RuntimeError(
                "`certify` proves nothing here: `kernels.grid_mask` made wrong pixels. "
                "Start again with the environment variable NUMBA_NUM_THREADS=1 and in "
                "a new folder, as what was kept may be wrong, too; and please report "
                f"this. Received: view {places[wrong[0]]} of {count} views "
                f"{views.shape[1:]} differs from the reference (of {len(places)} that "
                f"were compared, {len(wrong)}), cell_size={self._parts.mask.cell_size}"
                f", threads={config.NUMBA_NUM_THREADS}, "
                f"keras_maskdef {__version__}, numba {numba.__version__}, llvmlite "
                f"{llvmlite.__version__}, NumPy {np.__version__}, {platform.machine()}"
            )

    def _blank(self, images: np.ndarray) -> np.ndarray:
        """Cells that look the same hidden and visible, `(images, cells)`."""
        mask = self._parts.mask
        none = np.zeros((len(images), *self._grid), bool)
        same = _bits(images) == _bits(self._parts.hide_by_reference(images, none))
        first = mask.data_format == "channels_first"
        same = same.all(axis=1 if first else -1)
        for axis, cells in zip((1, 2), self._grid, strict=True):
            starts = np.arange(cells) * mask.cell_size
            same = np.logical_and.reduceat(same, starts, axis=axis)
        return same.reshape(len(images), -1)


def _bits(images: np.ndarray) -> np.ndarray:
    """The bits of images: zeros of either sign are equal, but not the same input."""
    return np.ascontiguousarray(images).view(f"u{images.dtype.itemsize}")


def distinct(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks without repetitions, and the index of each mask among them."""
    packed = np.packbits(hidden, axis=1)
    width = -(-packed.shape[1] // 8) * 8
    padded = np.zeros((len(packed), width), "u1")
    padded[:, : packed.shape[1]] = packed
    codes = padded.view("u8")
    if codes.shape[1] == 1:
        _, first, place = np.unique(codes[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, place = np.unique(
            codes, axis=0, return_index=True, return_inverse=True
        )
    return hidden[first], place.reshape(-1)


def _bytes_of_a_view(model: Any, image_shape: tuple[int, ...]) -> int:
    """Bytes that a model holds of one image at most: the outputs of all layers."""
    nodes = nodes_of(graph_of(model))
    shapes = [tensor.shape[1:] for node in nodes for tensor in node.outputs]
    if not nodes or any(None in shape for shape in shapes):
        # Unknown shapes: as much as 16 layers of 64 channels.
        return 16 * 64 * 4 * prod(image_shape)
    inner = [
        node.operation for node in nodes if isinstance(node.operation, keras.Model)
    ]
    outputs = sum(4 * prod(shape) for shape in shapes)
    return outputs + sum(_bytes_of_a_view(part, image_shape) for part in inner)
