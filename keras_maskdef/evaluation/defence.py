"""What is judged, and what an attacker may know of it."""

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
    """A defended classifier of any make.

    A Keras model made of this library's layers needs no such description; `evaluate`
    takes it as it is. This is for everything else.

    Args:
        predict: Keras model, or a function from float32 images, `(n, height, width,
            channels)`, in the evaluation's `value_range`, to logits or probabilities
            `(n, classes)`, both NumPy arrays.
        classifier: Keras model, the classifier without its defence.
        white_box: Differentiable models of the whole defence, each with another way
            through what has no gradient; each image counts by the one that harms it
            most. Where the defence is random they must be Keras models.
        gray_box: Differentiable model from images to outputs: the classifier with
            what is learned of its defence. The classifier by default.
        value_range: The lowest and the highest value of the images that it is made
            for, where it depends on them: `evaluate` refuses to measure it on others.
            Of this library's layers in `predict` the range is known without.

    Returns:
        A frozen record, for `evaluate`.

    Raises:
        ValueError: For a `white_box` without a model, or a `value_range` that is none;
            by `outputs` and `labels`, for a `predict` that returns no `(n, classes)`.

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
        2020: an attack that does not know the defence says nothing about it.
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
            known = check_value_range(self.value_range)
            object.__setattr__(self, "value_range", known)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what is derived from its models."""
        models = self.predict, self.classifier, self.white_box, self.gray_box
        return type(self), (*models, self.value_range)

    @classmethod
    def of_model(cls, model: keras.Model) -> "Defence":
        """Reads the parts off a Keras model."""
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

        Its white box goes through the function forwards, and past it as if it were
        the identity backwards (BPDA).

        Args:
            preprocess: From images to images of the same shape, NumPy arrays.
            classifier: Keras model.
            value_range: The lowest and the highest value of the images that
                `preprocess` is made for, if it is known.

        Raises:
            ValueError: For a `value_range` that is none.

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
            seen = np.asarray(preprocess(images), dtype="float32")
            return _predicted(classifier, seen)

        past = _Past(preprocess, classifier)
        return cls(predict, classifier, (past,), value_range=value_range)

    @cached_property
    def vote(self) -> tuple[keras.Model | None, Any] | None:
        """What comes before the vote that it ends in, and the vote, if any."""
        return split_vote(self.predict)

    @property
    def value_ranges(self) -> dict[str, Sequence[float]]:
        """The ranges of images that it is made for, as far as they are known.

        By the names of the layers that tell; by `"value_range"` its own.
        """
        known: dict[str, Sequence[float]] = {**value_ranges(self.predict)}
        if self.value_range is not None:
            known["value_range"] = self.value_range
        return known

    @property
    def is_random(self) -> bool:
        """Whether masks of this library are anywhere inside."""
        return is_random(self.predict)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Outputs for images, `(n, classes)`, as a NumPy array."""
        if isinstance(self.predict, keras.Model):
            found = _predicted(self.predict, images)
        else:
            found = np.asarray(self.predict(images))
        if found.ndim != 2 or len(found) != len(images) or found.shape[1] < 2:
            raise ValueError(
                "`predict` must return logits or probabilities of 2 classes or more, "
                f"({len(images)}, classes). Received: an array {found.shape}"
            )
        return found

    def labels(self, images: np.ndarray) -> np.ndarray:
        """Classes of images, one judgement."""
        return self.outputs(images).argmax(-1)


def as_defences(value: Any) -> dict[str, Defence]:
    """Defences by name, from what `evaluate` takes."""
    named = value if isinstance(value, Mapping) else {"defended": value}
    if not named:
        raise ValueError("`defences` must hold at least one. Received: defences={}")
    defences: dict[str, Defence] = {}
    for name, each in named.items():
        if str(name) in defences:
            raise ValueError(
                "`defences` must have names that differ as text, which head the "
                f"columns. Received: defences of {[*named]}"
            )
        if isinstance(each, keras.Model):
            each = Defence.of_model(each)
        if not isinstance(each, Defence):
            raise TypeError(
                "`defences` must be Keras models or `Defence`s: of a function alone "
                "nobody can tell what an attacker would differentiate. Use "
                "`Defence(predict=..., classifier=..., ...)` or `Defence.behind("
                f"preprocess, classifier)`. Received: defences[{name!r}]={each!r}"
            )
        defences[str(name)] = each
    return defences


def _predicted(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """By batches: `predict` takes 0.1 s to begin, and an evaluation judges often."""
    starts = range(0, len(images), BATCH)
    parts = [model.predict_on_batch(images[s : s + BATCH]) for s in starts]
    return np.concatenate(parts)


class _Past(keras.Model):
    """A function of images forwards, and past it backwards (BPDA)."""

    def __init__(self, preprocess: Callable, classifier: keras.Model) -> None:
        super().__init__(name="past")
        self.classifier, self._preprocess = classifier, preprocess
        with contextlib.suppress(ValueError):  # else judged by its outputs
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
