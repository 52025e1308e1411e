"""Digests that tell whether models or arrays are equal, across processes."""

import hashlib
import json
from importlib import metadata
from typing import Any

import keras
import numpy as np

from keras_maskdef._version import __version__

_PACKAGES = ("numpy", "foolbox", "cleverhans", "adversarial-robustness-toolbox")


def versions() -> dict[str, str]:
    """Versions of the packages that the figures of a run can depend on."""
    backend = keras.backend.backend()
    by_package = {"keras_maskdef": __version__, "backend": backend}
    for package in ("keras", backend, *_PACKAGES):
        try:
            by_package[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return by_package


def of_arrays(*arrays: np.ndarray) -> str:
    """A digest of the arrays' shapes, dtypes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def of_model(model: Any) -> str | None:
    """A digest of a model's whole configuration and its weights.

    `None` for anything but a built Keras model with a complete configuration: two
    such models may differ in a part that the configuration does not show.
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
    """Whether the configurations of a layer and its inner layers are complete.

    A third-party layer counts as complete if it overrides `get_config`.
    """
    config_module = type(layer).get_config.__module__
    module = type(layer).__module__
    ours = module.startswith(("keras.", "keras_maskdef."))
    is_complete = ours or not config_module.startswith("keras.")
    return is_complete and all(_tells(inner) for inner in getattr(layer, "layers", ()))


def _weights(model: Any) -> list[Any]:
    """The weights without the states of seed generators."""
    return [w for w in model.weights if "seed_generator" not in w.path]


def _without_names(config: Any) -> Any:
    """Numbers layers by their order: automatic names depend on the process."""
    config.pop("compile_config", None)
    names: dict[str, str] = {}
    _collect(config, names)
    return _renamed(config, names)


def _collect(value: Any, names: dict[str, str]) -> None:
    if isinstance(value, dict):
        name = value.get("name")
        if isinstance(name, str):
            names.setdefault(name, f"layer {len(names)}")
        for part in value.values():
            _collect(part, names)
    elif isinstance(value, list | tuple):
        for part in value:
            _collect(part, names)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(part, names) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value
