"""Private parts of Keras, TensorFlow and tf2onnx that this library needs.

No other module uses private parts of theirs. `tests/core/test_compat.py` has a test for
each one, which fails when it is gone or means something else.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import keras

# Keras has no public way to ask whether `keras.utils.set_random_seed` was called.
from keras.src.utils.rng_utils import get_random_seed as get_random_seed

# The modules that export a model; where one calls another, the inner one is first.
EXPORTERS = {
    "keras.src.export.litert": "litert",
    "keras.src.export.onnx": "onnx",
    "torch.onnx": "onnx",
    "torch.export": "torch",
    "keras.src.export": "saved_model",
    "tensorflow.python.saved_model.save": "saved_model",
}


def graph_of(model: Any) -> Any:
    """The functional model inside a Sequential one; other models themselves.

    None for a Sequential model that is not built.
    """
    return getattr(model, "_functional", model)


def nodes_of(graph: Any) -> list[Any]:
    """The nodes of a functional model, inputs first; empty for any other model."""
    by_depth = getattr(graph, "_nodes_by_depth", {})
    return [node for _, nodes in sorted(by_depth.items())[::-1] for node in nodes]


def calls_of(layer: Any) -> list[Any]:
    """The nodes of all calls of a layer on symbolic tensors, in any model."""
    return layer._inbound_nodes


def is_symbolic(output: Any) -> bool:
    """Whether a value is a symbolic Keras tensor, which knows its origin."""
    return hasattr(output, "_keras_history")


def origin_of(output: Any) -> tuple[Any, Any]:
    """The operation that made a symbolic tensor, and the node of that call."""
    operation, node, _ = output._keras_history
    return operation, operation._inbound_nodes[node]


def inner_layers(layer: Any, include_self: bool = True) -> Iterator[Any]:
    """A layer, unless left out, and the layers inside it at any depth."""
    return layer._flatten_layers(include_self=include_self)


def is_compiled() -> bool:
    """Whether the operations called now are compiled by XLA.

    On JAX all are. On TensorFlow this is the test of its own loops. It covers
    `jit_compile=True` of a model or a `tf.function`, also inside nested functions,
    loops and branches, and TPUs. Automatic clustering is not detected; it leaves
    callbacks out by itself.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.backend.backend() == "jax"
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def is_deterministic() -> bool:
    """Whether TensorFlow's operations were made deterministic; Keras asks so, too."""
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return is_op_determinism_enabled()


def gradients_by_name() -> dict[str, dict[str, Any]]:
    """TensorFlow's registry of gradients of traced functions, under `"type"`."""
    from tensorflow.python.framework.ops import gradient_registry

    return gradient_registry._registry


@cache
def teach_tf2onnx() -> None:
    """Keeps unseeded operations random: tf2onnx 1.17 writes seed 0 into them."""
    from tf2onnx.handler import tf_op
    from tf2onnx.onnx_opset.generator import RandomOp

    def without_seed(version: Callable[..., Any]) -> Any:
        def convert(cls: Any, ctx: Any, node: Any, **kwargs: Any) -> None:
            seeded = any(node.get_attr_value(name, 0) for name in ("seed", "seed2"))
            version(ctx, node, **kwargs)
            if not seeded:
                del node.attr["seed"]

        return classmethod(convert)

    versions = {
        f"version_{number}": without_seed(getattr(RandomOp, f"version_{number}"))
        for number in (1, 9)
    }
    for name, operation in (
        ("RandomUniform", "RandomUniform"),
        ("RandomStandardNormal", "RandomNormal"),
    ):
        tf_op(name, onnx_op=operation)(type(name, (), versions))
