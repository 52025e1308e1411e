"""Divides the machines of a cluster between workers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_maskdef.core.compat import is_deterministic

Resources = Mapping[str, float]


@dataclass(frozen=True)
class Share:
    """The number of workers, and what each may use.

    Args:
        workers: Number of workers.
        cpus: Cores of a worker.
        gpus: GPUs of a worker, 0 or 1.
    """

    workers: int
    cpus: int
    gpus: int


def share(
    nodes: Sequence[Resources],
    workers: int | None,
    free: Sequence[Resources] | None = None,
) -> Share:
    """Divides a cluster between workers.

    Args:
        nodes: The resources of each machine, `"CPU"` and `"GPU"`.
        workers: How many; by default one for each GPU, and where there is none, one
            for each core.
        free: The resources that are free now; by default all. Workers get few enough
            cores that as many as possible of them begin at once.

    Raises:
        ValueError: For less than one worker, or more workers than GPUs or cores.

    Example:

    >>> share([{"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 2}], None)
    Share(workers=4, cpus=4, gpus=1)
    >>> share([{"CPU": 8}, {"CPU": 4}], 3)
    Share(workers=3, cpus=4, gpus=0)
    >>> share([{"CPU": 8}, {"CPU": 4}], 3, free=[{"CPU": 4}, {}])
    Share(workers=3, cpus=1, gpus=0)
    """
    gpus = min(1, int(max((node.get("GPU", 0) for node in nodes), default=0)))
    most = _room(nodes, 1, gpus)
    if workers is None:
        workers = most
    if not 1 <= workers <= most:
        what = "GPU" if gpus else "core"
        raise ValueError(
            f"`workers` must be at least 1, and at most one for each {what} of the "
            f"cluster, {most}. Received: workers={workers}"
        )
    cpus = _cores(nodes, workers, gpus)
    if free is not None:
        begin = min(workers, _room(free, 1, gpus))
        cpus = min(cpus, _cores(free, begin, gpus)) if begin else 1
    return Share(workers, cpus, gpus)


def _cores(nodes: Sequence[Resources], workers: int, gpus: int) -> int:
    """The most cores that each of `workers` workers can have."""
    cpus = 1
    while _room(nodes, cpus + 1, gpus) >= workers:
        cpus += 1
    return cpus


def _room(nodes: Sequence[Resources], cpus: int, gpus: int) -> int:
    """How many workers of `cpus` cores fit: no worker uses two machines."""
    fit = (int(node.get("CPU", 0)) // cpus for node in nodes)
    if not gpus:
        return sum(fit)
    return sum(map(min, fit, (int(node.get("GPU", 0)) for node in nodes)))


def environment(cpus: int) -> dict[str, str]:
    """The environment variables that libraries read when a worker imports them.

    By default each worker would take all cores of its machine, and all memory of its
    GPU, of which the calling process may use some.
    """
    names = (
        "OMP_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "NUMBA_NUM_THREADS",
    )
    threads = {name: str(cpus) for name in names}
    return {
        "KERAS_BACKEND": keras.backend.backend(),
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **threads,
    }


def settings() -> dict[str, Any]:
    """Settings of Keras and TensorFlow that workers take over from this process."""
    return {
        "deterministic": keras.backend.backend() == "tensorflow" and is_deterministic(),
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.config.dtype_policy().name,
    }


def set_up(found: Mapping[str, Any]) -> None:
    """Applies the settings of another process to this one."""
    of_keras = dict(found)
    if of_keras.pop("deterministic"):
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    for name, value in of_keras.items():
        getattr(keras.config, f"set_{name}")(value)
