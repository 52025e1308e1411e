"""A model as attacks see it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_maskdef._extra import require
from keras_maskdef.attacks._gradients import CompiledLoss, Loss, by_images_only
from keras_maskdef.attacks._unit_range import on_unit_range
from keras_maskdef.layers._output_kind import judge_from_logits
from keras_maskdef.layers._value_range import UNIT, check_value_range

# Images that tell logits from probabilities; a real batch of them is enough.
JUDGED = 16


class Target:
    """A model under attack, compiled once for all attacks on it.

    The forward pass and the gradient of the loss by the images are each one
    function of TensorFlow for all batch sizes, compiled at the first use. The
    gradients by the weights, which a bare `GradientTape` computes too, are left out:
    an attack has no use for them.

    Args:
        model: Keras model, or any function of a TensorFlow tensor of images
            `(n, height, width, channels)` in `value_range` to outputs `(n, classes)`.
            It is called in inference mode. Probabilities, told by the last layer or
            else by the values for real images, are attacked by their logarithms. A
            model with a method `view_logits(images, training=False)` to `(views, n,
            classes)` is differentiated through the mean of its views' losses; by CW
            and DeepFool, which have losses of their own, through its own outputs.
        value_range: The lowest and the highest value of the images that `model` takes,
            such as `(0, 255)`. The target itself, as all attacks, takes [0, 1].

    Returns:
        An object with `logits` and `loss_gradient`, for `prepare` and `craft`.

    Raises:
        ValueError: On another backend than TensorFlow, or at the first use, for outputs
            that are not `(n, classes)`.
        TypeError: For a model that cannot be called.

    Example:

    >>> import numpy as np
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> target = Target(classifier)
    >>> images = np.full((2, 8, 8, 1), 0.5, "float32")
    >>> target.logits(images).shape
    TensorShape([2, 3])
    >>> loss, gradient = target.loss_gradient(images, [0, 1])
    >>> gradient.shape
    TensorShape([2, 8, 8, 1])

    Reference:
        Athalye et al.: Synthesizing Robust Adversarial Examples, ICML 2018, for the
        mean of losses over views.
    """

    def __init__(self, model: Any, value_range: Sequence[float] = UNIT) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Attacks run on the TensorFlow backend only for now. "
                f"Received: keras.backend.backend()={keras.backend.backend()!r}"
            )
        if not callable(model):
            raise TypeError(
                "`model` must be a Keras model or a function of images. "
                f"Received: model={model!r}"
            )
        self.value_range = check_value_range(value_range)
        self.model = on_unit_range(model, self.value_range)
        self._tf = require("tensorflow", "attacks")
        self._image_shape: tuple[int, ...] | None = None

    @property
    def classes(self) -> int:
        """The number of classes, known once it is compiled."""
        return self._classes

    @property
    def views(self) -> int:
        """The views whose losses are averaged; 1 for a model without views."""
        return self._views

    def compile(self, images: Any) -> None:
        """Compiles it for images of this shape, if it is not yet.

        Args:
            images: Some real images `(n, height, width, channels)` in [0, 1]: by the
                outputs for the first of them, probabilities are told from logits.
        """
        shape = tuple(images.shape[1:])
        if shape == self._image_shape:
            return
        sample = self._tf.cast(images[:JUDGED], "float32")
        outputs = self._call(sample)
        if len(outputs.shape) != 2:
            raise ValueError(
                "`model` must return (n, classes). "
                f"Received: outputs of shape {tuple(outputs.shape)}"
            )
        self._classes = int(outputs.shape[-1])
        self._from_logits = judge_from_logits(self.model, outputs)
        self._views = 1
        if self._has_views:
            self._views = int(self.model.view_logits(sample, training=False).shape[0])
        self._image_shape = shape
        self._logits = self._concrete(by_images_only(self._to_logits))
        if self._has_views:
            self._view_logits = self._concrete(by_images_only(self._to_view_logits))
        self._losses: dict[Loss, CompiledLoss] = {}

    def logits(self, images: Any) -> Any:
        """Logits `(n, classes)`, float32; a model with views pools them itself."""
        self.compile(images)
        return self._logits(self._tf.cast(images, "float32"))

    def view_logits(self, images: Any) -> Any:
        """Logits `(views, n, classes)`, or `(n, classes)` where there are no views."""
        self.compile(images)
        if not self._has_views:
            return self.logits(images)
        return self._view_logits(self._tf.cast(images, "float32"))

    def loss_gradient(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """The sum of the cross entropies and its gradient by the images.

        Args:
            images: `(n, height, width, channels)` in [0, 1].
            labels: Integers `(n,)`, each a class of the model.

        Returns:
            A scalar and a tensor of the shape of `images`, float32.
        """
        tf = self._tf
        self.compile(images)
        losses, gradient = self.compiled_loss().gradient(
            tf.cast(images, "float32"), tf.cast(labels, "int64")
        )
        return tf.reduce_sum(losses), gradient

    def compiled_loss(self, loss: Loss | None = None) -> CompiledLoss:
        """A loss of `(labels, logits)` to `(n,)`; the cross entropy by default."""
        loss = loss or self._cross_entropy
        if loss not in self._losses:
            self._losses[loss] = self._compile_loss(loss)
        return self._losses[loss]

    @property
    def _has_views(self) -> bool:
        return hasattr(self.model, "view_logits")

    def _call(self, images: Any) -> Any:
        if isinstance(self.model, keras.layers.Layer):
            return self.model(images, training=False)
        return self.model(images)

    def _to_logits(self, images: Any) -> Any:
        outputs = self._tf.cast(self._call(images), "float32")
        if self._from_logits:
            return outputs
        return self._tf.math.log(self._tf.maximum(outputs, keras.config.epsilon()))

    def _cross_entropy(self, labels: Any, logits: Any) -> Any:
        return self._tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

    def _to_view_logits(self, images: Any) -> Any:
        views = self.model.view_logits(images, training=False)
        return self._tf.cast(views, "float32")

    def _compile_loss(self, loss: Loss) -> CompiledLoss:
        tf = self._tf

        def values(images: Any, labels: Any) -> Any:
            if not self._has_views:
                return loss(labels, self._to_logits(images))
            logits = tf.reshape(self._to_view_logits(images), (-1, self._classes))
            losses = loss(tf.tile(labels, [self._views]), logits)
            return tf.reduce_mean(tf.reshape(losses, (self._views, -1)), axis=0)

        def gradient(images: Any, labels: Any) -> tuple[Any, Any]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                losses = values(images, labels)
                total = tf.reduce_sum(losses)
            # Where a model has no gradient at all, an attack starts and stays.
            nothing = tf.UnconnectedGradients.ZERO
            return losses, tape.gradient(total, images, unconnected_gradients=nothing)

        labels = tf.TensorSpec((None,), "int64")
        return CompiledLoss(
            self._concrete(values, labels), self._concrete(gradient, labels)
        )

    def _concrete(self, function: Callable, *specs: Any) -> Any:
        # As a concrete function: TensorFlow would take one trace a model for retracing.
        images = self._tf.TensorSpec((None, *(self._image_shape or ())), "float32")
        return self._tf.function(function, autograph=False).get_concrete_function(
            images, *specs
        )


def as_target(model: Any, value_range: Sequence[float] = UNIT) -> Target:
    """The model itself if it is a target already, with a range of its own."""
    if not isinstance(model, Target):
        return Target(model, value_range)
    known = check_value_range(value_range)
    if known not in (UNIT, model.value_range):
        raise ValueError(
            "`value_range` must be that of the target. Received: value_range="
            f"{known}, and {model.value_range} of the target"
        )
    return model
