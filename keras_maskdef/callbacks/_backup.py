"""Backups of a masker's training, one file per pass."""

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_maskdef.core.atomic_files import write


class Backup:
    """Keeps the last two passes.

    The classifier's backup may be one epoch older, as a run can be killed between the
    two writes.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def save(self, epoch: int, values: Sequence[np.ndarray]) -> None:
        write(self._path(epoch), lambda file: np.savez(file, *values))
        for path in self._paths():
            if path not in (self._path(epoch), self._path(epoch - 1)):
                path.unlink()

    def load(self, epoch: int) -> list[np.ndarray] | None:
        path = self._path(epoch)
        if not path.exists():
            return None
        with np.load(path) as file:
            return [file[f"arr_{i}"] for i in range(len(file.files))]

    def delete(self) -> None:
        for path in self._paths():
            path.unlink()

    def _path(self, epoch: int) -> Path:
        return self._folder / f"masker-after-epoch-{epoch}.npz"

    def _paths(self) -> list[Path]:
        return list(self._folder.glob("masker-after-epoch-*.npz"))


def values_of(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Returns arrays that NumPy can store: it has no bfloat16."""
    return [
        np.array(ops.convert_to_numpy(ops.cast(v, "float32") if _is_half(v) else v))
        for v in variables
    ]


def assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    if [tuple(v.shape) for v in variables] != [value.shape for value in values]:
        raise ValueError(
            "`backup_dir` must hold the training of this masker and optimizer. "
            f"Received: {len(values)} values for {len(variables)} variables"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(ops.cast(value, variable.dtype))


def _is_half(variable: keras.Variable) -> bool:
    return str(variable.dtype) in ("float16", "bfloat16")
