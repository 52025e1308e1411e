"""One worker of a cluster."""

import warnings
from collections.abc import Callable
from typing import Any

from keras_maskdef.engines._cluster import set_up
from keras_maskdef.engines.shipping import unpack

# Text, category, file and line, as `warnings.warn_explicit` takes them.
Warned = tuple[str, type[Warning], str, int]


class RayWorker:
    """Keeps the work that it was sent, and does pieces of it.

    Args:
        packed: The work.
        settings: Keras' settings in the process that sent it.
    """

    def __init__(self, packed: bytes, settings: dict[str, Any]) -> None:
        self._packed: bytes | None = packed
        self._settings = settings
        self._work: Any = None

    def ready(self) -> tuple[list[Any], list[Warned]]:
        """Loads the models; not in `__init__`, whose errors Ray replaces by its own."""
        return _heard(self._make)

    def do(self, packed: bytes) -> tuple[list[Any], list[Warned]]:
        """All results of a piece of work, and its warnings."""
        return _heard(lambda: list(self._work(unpack(packed))))

    def _make(self) -> list[Any]:
        set_up(self._settings)
        assert self._packed is not None
        self._work, self._packed = unpack(self._packed), None
        return []


def _heard(call: Callable[[], list[Any]]) -> tuple[list[Any], list[Warned]]:
    """Returns warnings with the results: the output of a worker is not shown."""
    with warnings.catch_warnings(record=True) as caught:
        results = call()
    return results, [(str(w.message), w.category, w.filename, w.lineno) for w in caught]
