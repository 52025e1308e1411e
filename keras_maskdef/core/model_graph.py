"""Models that are made of the graph of another, and share its layers."""

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

import keras

_made: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def once_per_graph(make: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps what is made of a functional model, as long as that is there.

    A model of layers that another has, too, leaves nodes on each of them for good: 0.1
    MiB for each of a ResNet18. The other arguments must be few different ones.
    """

    @wraps(make)
    def made(graph: Any, *options: Any) -> Any:
        known = _made.setdefault(graph, {})
        key = make, *options
        if key not in known:
            known[key] = make(graph, *options)
        return known[key]

    return made


def with_calls(graph: Any, call: Callable[..., Any]) -> keras.Model:
    """A functional model of the same layers, each called by `call(layer, *inputs)`."""
    return keras.models.clone_model(
        graph, clone_function=lambda layer: layer, call_function=call
    )
