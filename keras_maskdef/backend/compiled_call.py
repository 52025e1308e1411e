"""A model's call, compiled by the backend, with the model's current weights."""

from collections.abc import Callable
from typing import Any

import keras


def compiled_call(model: keras.Model, strategy: Any = None) -> Callable[[Any], Any]:
    """Returns a function from images to the model's outputs in inference mode.

    Each call uses the current weights and advances the random states of layers. Under a
    `tf.distribute` strategy images and outputs are those of each replica.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _on_tensorflow(model, strategy)
    if backend == "jax":
        return _on_jax(model)
    if backend == "torch":
        return _on_torch(model)
    return lambda images: model(images, training=False)


def is_random_state(variable: keras.Variable) -> bool:
    """Whether a variable is the state of a `SeedGenerator`."""
    return variable.name == "seed_generator_state"


def _on_tensorflow(model: keras.Model, strategy: Any) -> Callable[[Any], Any]:
    import tensorflow as tf

    def call(images: Any) -> Any:
        return model(images, training=False)

    if strategy is None:
        return tf.function(call, reduce_retracing=True)
    return tf.function(lambda x: strategy.run(call, (x,)), reduce_retracing=True)


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
