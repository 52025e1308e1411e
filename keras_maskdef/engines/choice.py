"""Engines by name."""

from collections.abc import Callable

from keras_maskdef.core.arguments import check_choice
from keras_maskdef.engines.engine import Engine
from keras_maskdef.engines.local_engine import LocalEngine
from keras_maskdef.engines.ray_engine import RayEngine

ENGINES: dict[str, Callable[[], Engine]] = {"local": LocalEngine, "ray": RayEngine}


def as_engine(value: str | Engine) -> Engine:
    """Returns the engine of a name; an engine itself is returned as it is.

    Raises:
        TypeError: For anything else.
        ValueError: For an unknown name.
        ImportError: If the library of the engine is not installed.

    Example:

    >>> type(as_engine("local")).__name__
    'LocalEngine'
    """
    if isinstance(value, str):
        return ENGINES[check_choice("engine", value, tuple(ENGINES))]()
    if not hasattr(value, "started"):
        raise TypeError(
            f"`engine` must be of {', '.join(ENGINES)}, or one of keras_maskdef.engines"
            f". Received: engine={value!r}"
        )
    return value
