"""Sends work to other processes: models as `.keras` files, all else by cloudpickle."""

import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_maskdef.core.extras import require

_ADVICE = (
    "`defence` (`defences` of `evaluate`) must be such that it can be sent to the "
    "workers of a cluster, a model as a .keras file, anything else by cloudpickle: "
    "give its layers a `get_config`, make functions of plain Python, or use "
    'engine="local". '
    "Received: what ends with "
)


def pack(value: Any) -> bytes:
    """Packs a value, which `unpack` restores in another process.

    Raises:
        TypeError: If a part of it cannot be packed.
    """
    base: Any = require("ray.cloudpickle", "ray").CloudPickler

    class Pickler(base):
        def reducer_override(self, part: Any) -> Any:
            if _is_plain_model(part):
                return _load, _saved(part)
            return super().reducer_override(part)

    buffer = io.BytesIO()
    try:
        Pickler(buffer).dump(value)
    except Exception as error:  # of any object inside
        raise TypeError(_ADVICE + _described(error)) from error
    return buffer.getvalue()


def unpack(packed: bytes) -> Any:
    """The value that was packed."""
    return require("ray.cloudpickle", "ray").loads(packed)


def check_same(here: np.ndarray, there: np.ndarray) -> None:
    """Checks that a model which was sent has the same outputs, up to rounding.

    Raises:
        ValueError: If it does not.
    """
    if not np.allclose(here, there, rtol=1e-2, atol=1e-2 * np.abs(here).max()):
        raise ValueError(
            "`defence` (`defences` of `evaluate`) must be the same after it was saved "
            "and loaded, or a worker of a cluster measures another one: write all "
            "arguments of its layers into their `get_config`. "
            f"Received: outputs {here[0]} before, {there[0]} after"
        )


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_plain_model(value: Any) -> bool:
    """Whether a value is a model that does not define its own pickling."""
    reduce = getattr(type(value), "__reduce__", None)
    return isinstance(value, keras.Model) and reduce is keras.Model.__reduce__


def _saved(model: keras.Model) -> tuple[Any, ...]:
    with tempfile.TemporaryDirectory(prefix="maskdef-") as once:
        path = Path(once) / "model.keras"
        model.save(path)
        content = path.read_bytes()
    modes = [_mode(part) for part in _models(model)]
    return content, _only_here(model), modes


def _load(
    content: bytes, custom_objects: dict[str, Any], modes: list[Any]
) -> keras.Model:
    try:
        with tempfile.TemporaryDirectory(prefix="maskdef-") as once:
            path = Path(once) / "model.keras"
            path.write_bytes(content)
            with warnings.catch_warnings():
                # Of optimizers of inner models, which are not needed here.
                warnings.simplefilter("ignore")
                # Its lambdas come from the process that sent it.
                model = keras.saving.load_model(
                    path, custom_objects, compile=False, safe_mode=False
                )
    except Exception as error:  # of any layer
        raise TypeError(_ADVICE + _described(error)) from error
    for part, mode in zip(_models(model), modes, strict=True):
        for name, value in mode.items():
            setattr(part, name, value)
    return model


def _models(model: keras.Model) -> list[keras.Model]:
    return [layer for layer in _inside(model) if isinstance(layer, keras.Model)]


def _inside(layer: Any) -> Iterator[Any]:
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from _inside(inner)


def _mode(model: keras.Model) -> dict[str, bool]:
    """How a compiled model runs, because XLA rounds differently."""
    if not model.compiled:
        return {}
    return {"jit_compile": model.jit_compile, "run_eagerly": model.run_eagerly}


def _only_here(model: keras.Model) -> dict[str, Any]:
    """Classes and functions that a worker could not import."""
    custom = dict(keras.saving.get_custom_objects())
    for layer in _inside(model):
        custom.setdefault(keras.saving.get_registered_name(type(layer)), type(layer))
    return {
        name: value
        for name, value in custom.items()
        if getattr(value, "__module__", None) == "__main__"
    }
