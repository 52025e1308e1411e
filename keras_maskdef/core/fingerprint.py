"""Whether two models, or two arrays, are the same, over processes."""

import hashlib
import json
from importlib import metadata
from typing import Any

import keras
import numpy as np

from keras_maskdef._version import __version__

_PACKAGES = ("numpy", "foolbox", "cleverhans", "adversarial-robustness-toolbox")


def versions() -> dict[str, str]:
    """Of what the figures of a run can depend on."""
    backend = keras.backend.backend()
    known = {"keras_maskdef": __version__, "backend": backend}
    for package in ("keras", backend, *_PACKAGES):
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return known


def of_arrays(*arrays: np.ndarray) -> str:
    """A digest of shapes, dtypes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def of_model(model: Any) -> str | None:
    """A digest of a model's whole configuration and its weights.

    `None` of anything else than a built Keras model that can be written down: two of
    those may differ in what nobody sees.
    """
    if not isinstance(model, keras.Model) or not model.built or not _tells(model):
        return None
    try:
        config = keras.saving.serialize_keras_object(model)
        text = json.dumps(_without_names(config), sort_keys=True)
    except (NotImplementedError, TypeError, ValueError):
        return None
    weights = [keras.ops.convert_to_numpy(weight) for weight in _weights(model)]
    return of_arrays(np.frombuffer(text.encode(), "uint8"), *weights)


def _tells(layer: Any) -> bool:
    """Whether its class, and those of the layers inside, write down all arguments.

    One of somebody else does if it has a `get_config` of its own.
    """
    known = type(layer).get_config.__module__
    own = type(layer).__module__
    ours = own.startswith(("keras.", "keras_maskdef."))
    told = ours or not known.startswith("keras.")
    return told and all(_tells(each) for each in getattr(layer, "layers", ()))


def _weights(model: Any) -> list[Any]:
    """Without the states of seed generators."""
    return [w for w in model.weights if "seed_generator" not in w.path]


def _without_names(config: Any) -> Any:
    """Layers by their order: names count what a process has made before."""
    config.pop("compile_config", None)
    names: dict[str, str] = {}
    _collect(config, names)
    return _renamed(config, names)


def _collect(value: Any, names: dict[str, str]) -> None:
    if isinstance(value, dict):
        name = value.get("name")
        if isinstance(name, str):
            names.setdefault(name, f"layer {len(names)}")
        for each in value.values():
            _collect(each, names)
    elif isinstance(value, list | tuple):
        for each in value:
            _collect(each, names)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value
