"""A model's call, compiled by the backend, with the model's live weights."""

from collections.abc import Callable
from typing import Any

import keras


def compiled_call(model: keras.Model) -> Callable[[Any], Any]:
    """Returns a function from images to the model's outputs in inference mode.

    It sees the weights as they are at each call, and advances the random numbers of
    layers that draw some.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    if backend == "jax":
        return _on_jax(model)
    if backend == "torch":
        return _on_torch(model)
    return lambda images: model(images, training=False)


def is_random_state(variable: keras.Variable) -> bool:
    """Whether a variable is the state of a `SeedGenerator`."""
    return str(variable.dtype) == "uint32"


def _on_jax(model: keras.Model) -> Callable[[Any], Any]:
    import jax

    @jax.jit
    def stateless(trainable: Any, rest: Any, images: Any) -> Any:
        return model.stateless_call(trainable, rest, images, training=False)

    def call(images: Any) -> Any:
        trainable = [v.value for v in model.trainable_variables]
        rest = [v.value for v in model.non_trainable_variables]
        outputs, rest = stateless(trainable, rest, images)
        for variable, value in zip(model.non_trainable_variables, rest, strict=True):
            if is_random_state(variable):
                variable.assign(value)
        return outputs

    return call


def _on_torch(model: keras.Model) -> Callable[[Any], Any]:
    import torch

    def call(images: Any) -> Any:
        with torch.no_grad():
            return model(images, training=False)

    return call
