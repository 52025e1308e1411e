"""Wraps models of images in any range: attacks work on images in [0, 1]."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras

from keras_maskdef.core.logits import Function, look_through
from keras_maskdef.core.output_kind import infer_from_logits
from keras_maskdef.core.value_range import UNIT, ValueRange, from_unit


def on_unit_range(model: Any, value_range: ValueRange) -> Any:
    """Returns a model that takes images in [0, 1]; `model` itself if it does so."""
    if value_range == UNIT:
        return model
    if not isinstance(model, keras.layers.Layer):
        return _FunctionOnUnitRange(model, value_range)
    with_views = hasattr(model, "view_logits")
    return (_ViewsOnUnitRange if with_views else _OnUnitRange)(model, value_range)


class _FunctionOnUnitRange:
    """Wraps a model that is no Keras layer; keeps `from_logits` and `view_logits`."""

    def __init__(self, model: Callable[[Any], Any], value_range: ValueRange) -> None:
        self._model, self._value_range = model, value_range
        if hasattr(model, "from_logits"):
            self.from_logits = model.from_logits
        if hasattr(model, "view_logits"):
            self.view_logits = self._view_logits

    def __call__(self, images: Any) -> Any:
        return self._model(from_unit(images, self._value_range))

    def _view_logits(self, images: Any, training: bool | None = None) -> Any:
        model: Any = self._model
        images = from_unit(images, self._value_range)
        return model.view_logits(images, training=training)


class _OnUnitRange(keras.Model):
    """Wraps a Keras layer and shares its variables, random states included."""

    def __init__(self, model: Any, value_range: ValueRange) -> None:
        # Half precision would round the levels of images in [0, 255].
        super().__init__(name="on_unit_range", dtype="float32")
        self.model, self.value_range = model, value_range
        with contextlib.suppress(ValueError):  # else its outputs decide
            self.from_logits = infer_from_logits(model)

    def call(self, images: Any, training: bool | None = None) -> Any:
        return self.model(from_unit(images, self.value_range), training=training)

    def _look_through(self) -> Function | None:
        logits = look_through(self.model)
        if logits is None:
            return None
        return lambda images: logits(from_unit(images, self.value_range))


class _ViewsOnUnitRange(_OnUnitRange):
    """Wraps a model with views, see `expectation_over_masks`."""

    def view_logits(self, images: Any, training: bool | None = None) -> Any:
        images = from_unit(images, self.value_range)
        return self.model.view_logits(images, training=training)
