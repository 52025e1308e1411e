"""Models built from the graph of another model, sharing its layers."""

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

import keras

_made: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def once_per_graph(make: Callable[..., Any]) -> Callable[..., Any]:
    """Caches what a function makes of a functional model, as long as the model lives.

    A new model of shared layers adds nodes to them for good: 0.1 MiB for each model of
    a ResNet18. The other arguments should take few different values.
    """

    @wraps(make)
    def made(graph: Any, *options: Any) -> Any:
        by_options = _made.setdefault(graph, {})
        key = make, *options
        if key not in by_options:
            by_options[key] = make(graph, *options)
        return by_options[key]

    return made


def with_calls(graph: Any, call: Callable[..., Any]) -> keras.Model:
    """A functional model of the same layers, called by `call(layer, *inputs)`."""
    return keras.models.clone_model(
        graph, clone_function=lambda layer: layer, call_function=call
    )
