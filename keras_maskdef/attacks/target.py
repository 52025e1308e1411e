"""The model under attack."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_maskdef.attacks._model_logits import called, model_logits
from keras_maskdef.attacks._unit_range import on_unit_range
from keras_maskdef.backend.gradients import this_backend
from keras_maskdef.backend.gradients.base import CompiledLoss, Logits, Loss
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.value_range import UNIT, check_value_range
from keras_maskdef.inspection.structure import computes_in_half

# How many real images are enough to tell logits from probabilities.
JUDGED = 16


class Target:
    """A model under attack, compiled once for all attacks on it.

    On TensorFlow the forward pass and the gradient of the loss by the images are one
    function each for all batch sizes, compiled at the first use; on JAX, one for each
    batch size. PyTorch calls the model as it is. Each call uses the current weights and
    fresh random masks. Gradients by the weights, which a plain `GradientTape` or
    `backward` computes too, are left out, because attacks do not need them. Through
    layers in float16 each image's gradient is scaled to the range of float16, and back.

    Args:
        model: Keras model, or any function of a tensor of images, the backend's own,
            `(n, height, width, channels)` in `value_range` to outputs `(n, classes)`.
            It is called in inference mode. If the outputs are probabilities, which the
            last layer or else the values for real images tell, their logits are
            attacked: the inputs of a final softmax where its layer can be seen, else
            the logarithms. A model with a method `view_logits(images, training=False)`
            to `(views, n, classes)` is differentiated through the mean of its views'
            losses; CW and DeepFool have losses of their own and use its own outputs.
        value_range: The lowest and the highest value of the images that `model` takes,
            such as `(0, 255)`. The target itself takes [0, 1], as all attacks do.

    Returns:
        An object with `logits` and `loss_gradient`, for `prepare` and `craft`. Both
        return float32 tensors of the backend, also where the model computes with fewer
        bits. If a model has no gradient, it is zero.

    Raises:
        ValueError: On another backend than TensorFlow, JAX and PyTorch; at the first
            use, for outputs that are not `(n, classes)`, or for probabilities in half
            precision whose logits cannot be recovered; for labels that are none of the
            classes.
        TypeError: For a model that cannot be called.
        RuntimeError: For `classes`, `views` or `compiled_loss` before `compile`, which
            the first use of `logits` or `loss_gradient` calls.

    Example:

    >>> import keras
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
        if not callable(model):
            raise TypeError(
                "`model` must be a Keras model or a function of images. "
                f"Received: model={model!r}"
            )
        self.value_range = check_value_range(value_range)
        self.model = on_unit_range(model, self.value_range)
        self._backend = this_backend()
        self._image_shape: tuple[int, ...] | None = None

    @property
    def classes(self) -> int:
        """The number of classes, known once the target is compiled."""
        self._check_compiled("classes")
        return self._classes

    @property
    def views(self) -> int:
        """The views whose losses are averaged; 1 for a model without views."""
        self._check_compiled("views")
        return self._views

    def compile(self, images: Any) -> None:
        """Compiles the target for images of this shape, unless it is compiled.

        Args:
            images: Some real images `(n, height, width, channels)` in [0, 1]. The
                outputs for the first of them tell probabilities from logits.
        """
        shape = tuple(images.shape[1:])
        if shape == self._image_shape:
            return
        sample = self._backend.images(images[:JUDGED])
        outputs = called(self.model, sample)
        if len(outputs.shape) != 2:
            raise ValueError(
                "`model` must return (n, classes). "
                f"Received: outputs of shape {tuple(outputs.shape)}"
            )
        self._classes = int(outputs.shape[-1])
        self._model_logits = model_logits(self.model, sample)
        self._views = 1
        if self._has_views:
            self._views = int(self.model.view_logits(sample, training=False).shape[0])
        self._image_shape, self._sample = shape, sample
        self._scaled = computes_in_half(self.model)
        self._logits = self._compile_logits(self._to_logits)
        if self._has_views:
            self._view_logits = self._compile_logits(self._to_view_logits)
        self._losses: dict[Loss, CompiledLoss] = {}

    def logits(self, images: Any) -> Any:
        """Logits `(n, classes)`, float32; a model with views pools them itself."""
        self.compile(images)
        return self._logits(self._backend.images(images))

    def view_logits(self, images: Any) -> Any:
        """Logits `(views * n, classes)` of each view, one view after the other."""
        self.compile(images)
        if not self._has_views:
            return self.logits(images)
        return self._view_logits(self._backend.images(images))

    def loss_gradient(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Returns the sum of the cross entropies and its gradient by the images.

        Args:
            images: `(n, height, width, channels)` in [0, 1].
            labels: Integers `(n,)`, each a class of the model.

        Returns:
            A scalar and a tensor of the shape of `images`, float32.

        Raises:
            ValueError: For labels that are none of the model's classes.
        """
        self.compile(images)
        check_labels(ops.convert_to_numpy(labels), len(images), self.classes)
        losses, gradient = self.compiled_loss().gradient(
            self._backend.images(images), self._backend.labels(labels)
        )
        return ops.sum(losses), gradient

    def compiled_loss(self, loss: Loss | None = None) -> CompiledLoss:
        """Compiles a loss of `(labels, logits)` to `(n,)`; default: cross entropy."""
        self._check_compiled("compiled_loss")
        loss = loss or self._cross_entropy
        if loss not in self._losses:
            self._losses[loss] = self._compile_loss(loss)
        return self._losses[loss]

    def _check_compiled(self, name: str) -> None:
        if self._image_shape is None:
            raise RuntimeError(
                f"`{name}` of a target is known once it is compiled: call `compile` "
                "with some images first. Received: a target that is not compiled, of "
                f"model={self.model!r}"
            )

    @property
    def _has_views(self) -> bool:
        return hasattr(self.model, "view_logits")

    def _to_logits(self, images: Any) -> Any:
        return ops.cast(self._model_logits(images), "float32")

    def _cross_entropy(self, labels: Any, logits: Any) -> Any:
        return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    def _to_view_logits(self, images: Any) -> Any:
        views = self.model.view_logits(images, training=False)
        return ops.reshape(ops.cast(views, "float32"), (-1, self._classes))

    def _compile_logits(self, logits: Logits) -> Any:
        return self._backend.forward(logits, self._sample, self._scaled)

    def _compile_loss(self, loss: Loss) -> CompiledLoss:
        def over_views(labels: Any, logits: Any) -> Any:
            losses = loss(ops.tile(labels, (self._views,)), logits)
            return ops.mean(ops.reshape(losses, (self._views, -1)), axis=0)

        logits = self._to_view_logits if self._has_views else self._to_logits
        return self._backend.loss(logits, over_views, self._sample, self._scaled)


def as_target(model: Any, value_range: Sequence[float] = UNIT) -> Target:
    """Returns the model itself if it is a target, which has its own range."""
    if not isinstance(model, Target):
        return Target(model, value_range)
    given = check_value_range(value_range)
    if given not in (UNIT, model.value_range):
        raise ValueError(
            "`value_range` must be that of the target. Received: value_range="
            f"{given}, and {model.value_range} of the target"
        )
    return model
