"""Shuffled batches of arrays, and properties of datasets of batches."""

import inspect
import math
from typing import Any

import keras
import numpy as np


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of arrays in an order that depends only on the seed and the epoch.

    `fit`'s own shuffling draws from global generators: a `fit` inside another would
    change the batches of the outer one, and a resumed training could not repeat them.

    Args:
        arrays: Arrays of the same length: images, or images and labels.
        batch_size: Images in a batch; the last may have fewer.
        seed: Integer.
        steps: Batches in an epoch, at most all; each epoch draws them anew.
    """

    def __init__(
        self,
        arrays: tuple[np.ndarray, ...],
        batch_size: int,
        seed: int,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.arrays, self.batch_size = arrays, batch_size
        self.seed, self._steps, self._order = seed, steps, np.empty(0, int)
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        rng = np.random.default_rng([self.seed, epoch])
        self._order = rng.permutation(len(self.arrays[0]))

    def on_epoch_end(self) -> None:
        self.start_epoch(self._epoch + 1)

    def __len__(self) -> int:
        batches = -(-len(self.arrays[0]) // self.batch_size)
        return batches if self._steps is None else min(batches, self._steps)

    @property
    def whole_batches(self) -> int:
        """Number of batches in an epoch that have `batch_size` images."""
        return min(len(self), len(self.arrays[0]) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        start = index * self.batch_size
        rows = self._order[start : start + self.batch_size]
        return tuple(array[rows] for array in self.arrays)


def refuse_iterators(name: str, data: Any) -> None:
    """Raises TypeError for a generator, which yields its batches only once."""
    if inspect.isgenerator(data) or hasattr(data, "__next__"):
        raise TypeError(
            f"`{name}` must be iterable more than once: arrays, a tf.data.Dataset, a "
            f"PyDataset or a DataLoader. Received: {name}={data!r}"
        )


def is_dataset(data: Any) -> bool:
    named = {kind.__name__ for kind in type(data).__mro__}
    return isinstance(data, keras.utils.PyDataset) or bool(
        named & {"DatasetV2", "DataLoader", "DistributedDataset"}
    )


def batches_of(data: Any) -> float | None:
    """Number of batches, possibly infinite; None if unknown."""
    if hasattr(data, "cardinality"):
        import tensorflow as tf

        number = data.cardinality  # an attribute of a DistributedDataset
        number = int(number() if callable(number) else number)
        return math.inf if number == tf.data.INFINITE_CARDINALITY else number
    if isinstance(data, keras.utils.PyDataset):
        try:
            return math.inf if data.num_batches is None else data.num_batches
        except NotImplementedError:  # it has no length either
            return math.inf
    try:
        return len(data)
    except TypeError:  # a DataLoader over data without a length
        return None
