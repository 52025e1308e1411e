"""One worker of a cluster."""

from typing import Any

from keras_maskdef.engines._cluster import set_up
from keras_maskdef.engines._shipping import unpack


class RayWorker:
    """Keeps the work that it was sent, and does pieces of it.

    Args:
        packed: The work.
        settings: Those of Keras where it comes from.
    """

    def __init__(self, packed: bytes, settings: dict[str, Any]) -> None:
        self._packed: bytes | None = packed
        self._settings = settings
        self._work: Any = None

    def ready(self) -> None:
        """Makes the models; not on its creation, whose errors Ray makes its own."""
        set_up(self._settings)
        assert self._packed is not None
        self._work, self._packed = unpack(self._packed), None

    def do(self, packed: bytes) -> list[Any]:
        """All results of a piece of work."""
        return list(self._work(unpack(packed)))
