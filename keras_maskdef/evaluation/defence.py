"""A defence under evaluation, and what an attacker may know of it."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_maskdef.backend.native import call_on_host, with_gradient
from keras_maskdef.core.logits import Function, look_through
from keras_maskdef.core.output_kind import infer_from_logits
from keras_maskdef.core.value_range import check_value_range
from keras_maskdef.inspection.agreement import value_ranges
from keras_maskdef.inspection.structure import (
    bare_classifier,
    check_called_as_predicted,
    is_random,
    masked_classifier,
    split_vote,
    through_exact_medians,
)

BATCH = 500


@dataclass(frozen=True)
class Defence:
    """A defended classifier that is not built from this library's layers.

    `evaluate` takes a Keras model of this library's layers directly. Describe any other
    defence with this class.

    Args:
        predict: Keras model, or a function from float32 images, `(n, height, width,
            channels)`, in the evaluation's `value_range`, to logits or probabilities
            `(n, classes)`, both NumPy arrays.
        classifier: Keras model, the classifier without its defence.
        white_box: Differentiable models of the whole defence. Each handles parts
            without a gradient in another way; for each image the one that harms it most
            counts. For a random defence they must be Keras models.
        gray_box: Differentiable model from images to outputs: the classifier with the
            learned part of its defence. The classifier by default.
        value_range: The lowest and the highest value of the images that the defence
            expects, if it depends on them; `evaluate` refuses any other range. The
            range of this library's layers in `predict` need not be given.

    Returns:
        A frozen record, for `evaluate`.

    Raises:
        ValueError: For a `white_box` without a model or an invalid `value_range`. In
            `outputs` and `labels`: if `predict` does not return `(n, classes)`.

    Example:

    >>> import keras_maskdef as kmd
    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> darkened = kmd.defend(classifier, filters=[keras.layers.Rescaling(0.5)])
    >>> defence = Defence(
    ...     lambda images: darkened.predict(images, verbose=0), classifier, (darkened,)
    ... )
    >>> defence.labels(np.zeros((5, 8, 8, 1), "float32")).shape
    (5,)

    Reference:
        Tramer et al.: On Adaptive Attacks to Adversarial Example Defenses, NeurIPS
        2020: an attack that does not know the defence does not measure it.
    """

    predict: Callable[[np.ndarray], Any]
    classifier: keras.Model
    white_box: tuple[Any, ...]
    gray_box: Any = None
    value_range: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.white_box, Sequence) or not self.white_box:
            raise ValueError(
                "`white_box` must be a tuple of at least one differentiable model: the "
                "adaptive row is never left out. Received: "
                f"white_box={self.white_box!r}"
            )
        if self.gray_box is None:
            object.__setattr__(self, "gray_box", self.classifier)
        if self.value_range is not None:
            checked = check_value_range(self.value_range)
            object.__setattr__(self, "value_range", checked)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leaves out what is derived from the models."""
        models = self.predict, self.classifier, self.white_box, self.gray_box
        return type(self), (*models, self.value_range)

    @classmethod
    def of_model(cls, model: keras.Model) -> "Defence":
        """Finds the parts of a Keras model made of this library's layers."""
        check_called_as_predicted("defences", model)
        exact = through_exact_medians(model)
        return cls(
            model,
            bare_classifier(model),
            (model,) if exact is None else (model, exact),
            masked_classifier(model),
        )

    @classmethod
    def behind(
        cls,
        preprocess: Callable[[np.ndarray], np.ndarray],
        classifier: keras.Model,
        value_range: Sequence[float] | None = None,
    ) -> "Defence":
        """A classifier behind any function of images, such as another library's.

        The white box applies the function in the forward pass and treats it as the
        identity in the backward pass (BPDA).

        Args:
            preprocess: From images to images of the same shape, NumPy arrays.
            classifier: Keras model.
            value_range: The lowest and the highest value of the images that
                `preprocess` expects, if known.

        Raises:
            ValueError: For an invalid `value_range`.

        Example:

        >>> classifier = keras.Sequential(
        ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
        ... )
        >>> rounded = Defence.behind(np.round, classifier)
        >>> rounded.outputs(np.zeros((5, 8, 8, 1), "float32")).shape
        (5, 3)

        Reference:
            Athalye et al.: Obfuscated Gradients, ICML 2018, section 4.1.1.
        """

        def predict(images: np.ndarray) -> np.ndarray:
            preprocessed = np.asarray(preprocess(images), dtype="float32")
            return _predicted(classifier, preprocessed)

        past = _Past(preprocess, classifier)
        return cls(predict, classifier, (past,), value_range=value_range)

    @cached_property
    def vote(self) -> tuple[keras.Model | None, Any] | None:
        """The model before the final vote, and the vote; None without a final vote."""
        return split_vote(self.predict)

    @property
    def value_ranges(self) -> dict[str, Sequence[float]]:
        """The value ranges that the defence expects, as far as they are known.

        Keyed by layer name; the defence's own is under `"value_range"`.
        """
        ranges: dict[str, Sequence[float]] = {**value_ranges(self.predict)}
        if self.value_range is not None:
            ranges["value_range"] = self.value_range
        return ranges

    @property
    def is_random(self) -> bool:
        """Whether it contains random masks of this library."""
        return is_random(self.predict)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Outputs for images, `(n, classes)`, as a NumPy array."""
        if isinstance(self.predict, keras.Model):
            outputs = _predicted(self.predict, images)
        else:
            outputs = np.asarray(self.predict(images))
        if outputs.ndim != 2 or len(outputs) != len(images) or outputs.shape[1] < 2:
            raise ValueError(
                "`predict` must return logits or probabilities of 2 classes or more, "
                f"({len(images)}, classes). Received: an array {outputs.shape}"
            )
        return outputs

    def labels(self, images: np.ndarray) -> np.ndarray:
        """Predicted classes of images, predicted once."""
        return self.outputs(images).argmax(-1)


def as_defences(value: Any) -> dict[str, Defence]:
    """Defences by name, from what `evaluate` takes."""
    named = value if isinstance(value, Mapping) else {"defended": value}
    if not named:
        raise ValueError("`defences` must hold at least one. Received: defences={}")
    defences: dict[str, Defence] = {}
    for name, defence in named.items():
        if str(name) in defences:
            raise ValueError(
                "`defences` must have names that differ as text, which head the "
                f"columns. Received: defences of {[*named]}"
            )
        if isinstance(defence, keras.Model):
            defence = Defence.of_model(defence)
        if not isinstance(defence, Defence):
            raise TypeError(
                "`defences` must be Keras models or `Defence`s: a function alone does "
                "not tell what an attacker would differentiate. Use "
                "`Defence(predict=..., classifier=..., ...)` or `Defence.behind("
                f"preprocess, classifier)`. Received: defences[{name!r}]={defence!r}"
            )
        defences[str(name)] = defence
    return defences


def _predicted(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Predicts by batches: `predict` takes 0.1 s to start, and is called often."""
    starts = range(0, len(images), BATCH)
    parts = [model.predict_on_batch(images[s : s + BATCH]) for s in starts]
    return np.concatenate(parts)


class _Past(keras.Model):
    """Applies a function forwards and the identity backwards (BPDA)."""

    def __init__(self, preprocess: Callable, classifier: keras.Model) -> None:
        super().__init__(name="past")
        self.classifier, self._preprocess = classifier, preprocess
        with contextlib.suppress(ValueError):  # else inferred from its outputs
            self.from_logits = infer_from_logits(classifier)
        self.built = True

    def __reduce__(self) -> tuple[Any, ...]:
        return _Past, (self._preprocess, self.classifier)

    def call(self, images: Any, training: bool | None = None) -> Any:
        return self.classifier(self._seen(images), training=False)

    def _look_through(self) -> Function | None:
        logits = look_through(self.classifier)
        return None if logits is None else lambda images: logits(self._seen(images))

    def _seen(self, images: Any) -> Any:
        def forwards(images: Any) -> Any:
            return call_on_host(self._forwards, images)

        return with_gradient(forwards, lambda x, y, upstream: upstream, images)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return self.classifier.compute_output_shape(input_shape)

    def _forwards(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._preprocess(images), dtype="float32")
