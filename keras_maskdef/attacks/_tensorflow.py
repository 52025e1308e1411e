"""Attacks on TensorFlow: each function of a target is one concrete function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_maskdef.attacks._backend import CompiledLoss


class TensorFlow:
    """The `Backend` of TensorFlow, of one trace for all batch sizes."""

    cleverhans: str | None = "cleverhans.tf2.attacks"

    def __init__(self) -> None:
        import tensorflow as tf

        self._tf = tf

    def images(self, images: Any) -> Any:
        return self._tf.cast(images, "float32")

    def labels(self, labels: Any) -> Any:
        return self._tf.cast(labels, "int64")

    def forward(self, function: Callable[[Any], Any], images: Any) -> Any:
        return self._concrete(self._by_images_only(function), images)

    def loss(self, function: Callable[[Any, Any], Any], images: Any) -> CompiledLoss:
        tf = self._tf

        def gradient(images: Any, labels: Any) -> tuple[Any, Any]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                losses = function(images, labels)
                total = tf.reduce_sum(losses)
            # Where a model has no gradient at all, an attack starts and stays.
            nothing = tf.UnconnectedGradients.ZERO
            return losses, tape.gradient(total, images, unconnected_gradients=nothing)

        labels = tf.TensorSpec((None,), "int64")
        return CompiledLoss(
            self._concrete(function, images, labels),
            self._concrete(gradient, images, labels),
        )

    def rows(self, count: int) -> int:
        return count

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        # What the seed was, nobody can ask.
        self._tf.random.set_seed(seed)
        yield

    def foolbox_model(self, foolbox: Any, logits: Callable[[Any], Any]) -> Any:
        gpus = self._tf.config.list_physical_devices("GPU")
        device = "/GPU:0" if gpus else "/CPU:0"
        return foolbox.TensorFlowModel(logits, bounds=(0, 1), device=device)

    def _by_images_only(self, function: Callable[[Any], Any]) -> Any:
        """The function with no gradient by weights, for attacks that use own tapes.

        VGG16's filters would else be half of the work of its backward pass.
        """
        tf = self._tf

        @tf.custom_gradient
        def wrapped(images: Any) -> tuple[Any, Callable]:
            # Persistent, as an outer function that is traced asks for it once more.
            with tf.GradientTape(True, watch_accessed_variables=False) as tape:
                tape.watch(images)
                outputs = function(images)

            def gradient(upstream: Any, variables: Any = ()) -> Any:
                by_images = tape.gradient(outputs, images, upstream)
                return (by_images, [None] * len(variables)) if variables else by_images

            return outputs, gradient

        return wrapped

    def _concrete(self, function: Callable, images: Any, *specs: Any) -> Any:
        # As a concrete function: TensorFlow would take one trace a model for retracing.
        shape = self._tf.TensorSpec((None, *images.shape[1:]), "float32")
        return self._tf.function(function, autograph=False).get_concrete_function(
            shape, *specs
        )
