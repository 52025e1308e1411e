"""Attacks on TensorFlow: each function of a target is one concrete function."""

import random
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from keras_maskdef.backend.gradients.base import CompiledLoss, Logits, Loss
from keras_maskdef.backend.gradients.half_precision import rescaled
from keras_maskdef.backend.native import with_gradient
from keras_maskdef.core.extras import require

# TensorFlow's seeds are below this.
_MOST = 2**31 - 1


class TensorFlow:
    """The `Backend` of TensorFlow, with one trace for all batch sizes."""

    cleverhans: str | None = "cleverhans.tf2.attacks"

    def __init__(self) -> None:
        import tensorflow as tf

        self._tf = tf

    def images(self, images: Any) -> Any:
        return self._tf.cast(images, "float32")

    def labels(self, labels: Any) -> Any:
        return self._tf.cast(labels, "int64")

    def forward(self, logits: Logits, images: Any, scaled: bool) -> Any:
        """Without a gradient by weights, for attacks that use their own tapes.

        Otherwise VGG16's filters would be half of the work of its backward pass.
        """
        taped: list[Any] = []

        def call(images: Any) -> Any:
            def forward(images: Any) -> Any:
                taped[:] = self._taped(logits, images, scaled)
                return taped[0]

            def gradient(images: Any, outputs: Any, upstream: Any) -> Any:
                return taped[1](upstream)

            return with_gradient(forward, gradient, images)

        function = self._concrete(call, images)
        # The graph holds its gradient, which holds a tape, which holds the graph.
        # Python's garbage collector does not see into a tape.
        weakref.finalize(function, taped.clear).atexit = False
        return function

    def loss(
        self, logits: Logits, loss: Loss, images: Any, scaled: bool
    ) -> CompiledLoss:
        tf = self._tf

        def values(images: Any, labels: Any) -> Any:
            return loss(labels, logits(images))

        def gradient(images: Any, labels: Any) -> tuple[Any, Any]:
            outputs, by_images = self._taped(logits, images, scaled)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(outputs)
                losses = loss(labels, outputs)
                total = tf.reduce_sum(losses)
            return losses, by_images(tape.gradient(total, outputs))

        labels = tf.TensorSpec((None,), "int64")
        return CompiledLoss(
            self._concrete(values, images, labels),
            self._concrete(gradient, images, labels),
        )

    def rows(self, count: int) -> int:
        return count

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        # The former seed cannot be read, and so not restored.
        self._tf.random.set_seed(seed)
        yield

    @contextmanager
    def seeded_foolbox(self, seed: int) -> Iterator[None]:
        """Through eagerpy: setting the global seed would clear TensorFlow's caches.

        TensorFlow keeps 8 bytes for good for each kernel that it creates again, and
        with them mostly a page of memory: 0.5 to 1 MiB for each `evaluate`.
        """
        tensor = require("eagerpy", "attacks").TensorFlowTensor
        before, draws = (tensor.uniform, tensor.normal), _Draws(seed)
        # Not bound methods, which would be called without the tensor.
        tensor.uniform = lambda *args, **options: draws.uniform(*args, **options)
        tensor.normal = lambda *args, **options: draws.normal(*args, **options)
        try:
            yield
        finally:
            tensor.uniform, tensor.normal = before

    def foolbox_model(self, foolbox: Any, logits: Callable[[Any], Any]) -> Any:
        gpus = self._tf.config.list_physical_devices("GPU")
        device = "/GPU:0" if gpus else "/CPU:0"
        return foolbox.TensorFlowModel(logits, bounds=(0, 1), device=device)

    def _taped(
        self, logits: Logits, images: Any, scaled: bool
    ) -> tuple[Any, Callable[[Any], Any]]:
        """Logits, and a function from their gradient to one by images."""
        tf = self._tf
        # Persistent, because an outer traced function uses it once more.
        with tf.GradientTape(True, watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = logits(images)
        # If a model has no gradient at all, an attack stays at its start.
        nothing = tf.UnconnectedGradients.ZERO

        def by_images(upstream: Any) -> Any:
            return tape.gradient(
                outputs, images, upstream, unconnected_gradients=nothing
            )

        if scaled:
            return outputs, lambda upstream: rescaled(by_images, upstream, images)
        return outputs, by_images

    def _concrete(self, function: Callable, images: Any, *specs: Any) -> Any:
        # A concrete function: else TensorFlow takes one trace a model for retracing.
        shape = self._tf.TensorSpec((None, *images.shape[1:]), "float32")
        return self._tf.function(function, autograph=False).get_concrete_function(
            shape, *specs
        )


class _Draws:
    """The numbers that eagerpy draws after `tf.random.set_seed(seed)`.

    `set_seed` seeds Python's generator, which seeds the operations; these count on.
    """

    def __init__(self, seed: int) -> None:
        import tensorflow as tf

        self._raw, self._device = tf.raw_ops, tf.device
        self._seed, self._operations = seed % _MOST, random.Random(seed)

    def uniform(
        self, like: Any, shape: Any, low: float = 0.0, high: float = 1.0
    ) -> Any:
        numbers = self._drawn(self._raw.StatelessRandomUniformV2, like, shape)
        return type(like)(numbers * (high - low) + low)

    def normal(
        self, like: Any, shape: Any, mean: float = 0.0, stddev: float = 1.0
    ) -> Any:
        numbers = self._drawn(self._raw.StatelessRandomNormalV2, like, shape)
        return type(like)(numbers * stddev + mean)

    def _drawn(self, operation: Callable, like: Any, shape: Any) -> Any:
        second = self._operations.randint(0, _MOST) % _MOST
        if not (self._seed or second):
            second = _MOST
        with self._device(like.raw.device):
            return operation(
                shape=np.atleast_1d(shape).astype("int32"),
                key=np.array([self._seed], "uint64"),
                counter=np.array([0, second], "uint64"),
                alg=1,  # Philox, as in the operations with a seed
                dtype=like.raw.dtype,
            )
