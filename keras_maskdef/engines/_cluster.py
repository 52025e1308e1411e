"""The machines of a cluster: how many workers they carry, and what each may use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Share:
    """What a worker is given.

    Args:
        workers: Number of workers.
        cpus: Cores of each.
        gpus: GPUs of each, 0 or 1.
    """

    workers: int
    cpus: int
    gpus: int


def share(nodes: Sequence[Mapping[str, float]], workers: int | None) -> Share:
    """Divides a cluster between workers.

    Args:
        nodes: The resources of each machine, `"CPU"` and `"GPU"`.
        workers: How many; by default one for each GPU, and where there is none, one
            for each core.

    Raises:
        ValueError: If there are more workers than GPUs, or than cores.

    Example:

    >>> share([{"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 2}], None)
    Share(workers=4, cpus=4, gpus=1)
    >>> share([{"CPU": 8}, {"CPU": 4}], 3)
    Share(workers=3, cpus=4, gpus=0)
    """
    gpus = min(1, int(max((node.get("GPU", 0) for node in nodes), default=0)))

    def room(cpus: int) -> int:
        """Workers of so many cores: none stretches over two machines."""
        fit = (int(node.get("CPU", 0)) // cpus for node in nodes)
        if not gpus:
            return sum(fit)
        each = (int(node.get("GPU", 0)) for node in nodes)
        return sum(map(min, fit, each))

    most = room(1)
    if workers is None:
        workers = most
    if not 1 <= workers <= most:
        what = "GPU" if gpus else "core"
        raise ValueError(
            f"`workers` must be at least 1, and at most one for each {what} of the "
            f"cluster, {most}. Received: workers={workers}"
        )
    cpus = 1
    while room(cpus + 1) >= workers:
        cpus += 1
    return Share(workers, cpus, gpus)


def environment(cpus: int) -> dict[str, str]:
    """What libraries read when a worker imports them.

    By default each worker would take all cores of its machine.
    """
    names = (
        "OMP_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "NUMBA_NUM_THREADS",
    )
    threads = {name: str(cpus) for name in names}
    return {"KERAS_BACKEND": keras.backend.backend(), **threads}


def settings() -> dict[str, Any]:
    """Keras' own settings in this process, which a worker takes over."""
    return {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.config.dtype_policy().name,
    }


def set_up(found: Mapping[str, Any]) -> None:
    """Makes the settings of another process this one's."""
    for name, value in found.items():
        getattr(keras.config, f"set_{name}")(value)
