"""Takes work to other processes: models as `.keras` files, all else by cloudpickle."""

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
    """What `unpack` makes the same of in another process.

    Raises:
        TypeError: If something in it cannot be written down.
    """
    base: Any = require("ray.cloudpickle", "ray").CloudPickler

    class Pickler(base):
        def reducer_override(self, each: Any) -> Any:
            if _is_plain_model(each):
                return _load, _saved(each)
            return super().reducer_override(each)

    buffer = io.BytesIO()
    try:
        Pickler(buffer).dump(value)
    except Exception as error:  # of whatever is inside
        raise TypeError(_ADVICE + _said(error)) from error
    return buffer.getvalue()


def unpack(packed: bytes) -> Any:
    """The value that was packed."""
    return require("ray.cloudpickle", "ray").loads(packed)


def check_same(here: np.ndarray, there: np.ndarray) -> None:
    """That a model which was sent answers as it did; up to rounding, elsewhere.

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


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_plain_model(value: Any) -> bool:
    """Not one that says itself how it is pickled."""
    own = getattr(type(value), "__reduce__", None)
    return isinstance(value, keras.Model) and own is keras.Model.__reduce__


def _saved(model: keras.Model) -> tuple[Any, ...]:
    with tempfile.TemporaryDirectory(prefix="maskdef-") as once:
        path = Path(once) / "model.keras"
        model.save(path)
        content = path.read_bytes()
    modes = [_mode(each) for each in _models(model)]
    return content, _only_here(model), modes


def _load(
    content: bytes, custom_objects: dict[str, Any], modes: list[Any]
) -> keras.Model:
    try:
        with tempfile.TemporaryDirectory(prefix="maskdef-") as once:
            path = Path(once) / "model.keras"
            path.write_bytes(content)
            with warnings.catch_warnings():
                # Of optimizers of models inside, which nobody needs here.
                warnings.simplefilter("ignore")
                # The lambdas in it are those of the process that sent it.
                model = keras.saving.load_model(
                    path, custom_objects, compile=False, safe_mode=False
                )
    except Exception as error:  # of whatever layer
        raise TypeError(_ADVICE + _said(error)) from error
    for each, mode in zip(_models(model), modes, strict=True):
        for name, value in mode.items():
            setattr(each, name, value)
    return model


def _models(model: keras.Model) -> list[keras.Model]:
    return [layer for layer in _inside(model) if isinstance(layer, keras.Model)]


def _inside(layer: Any) -> Iterator[Any]:
    yield layer
    for each in getattr(layer, "layers", ()):
        yield from _inside(each)


def _mode(model: keras.Model) -> dict[str, bool]:
    """How a compiled model is run: XLA rounds differently."""
    if not model.compiled:
        return {}
    return {"jit_compile": model.jit_compile, "run_eagerly": model.run_eagerly}


def _only_here(model: keras.Model) -> dict[str, Any]:
    """Classes and functions that a worker could not import."""
    known = dict(keras.saving.get_custom_objects())
    for layer in _inside(model):
        known.setdefault(keras.saving.get_registered_name(type(layer)), type(layer))
    return {
        name: value
        for name, value in known.items()
        if getattr(value, "__module__", None) == "__main__"
    }
