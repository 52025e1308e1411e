"""Shows the next training step its images through a view."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import keras

View = Callable[[Any], Any]


def present_next_step(model: keras.Model, view: View) -> None:
    """Has the next call of `model.train_function` see `view(images)`.

    That function takes an iterator of batches (on PyTorch a list of one batch) and runs
    the compiled step on each, so that neither the step nor its compilation changes. It
    is itself again before the step begins: an error in the step leaves nothing behind.

    Between here and the step another callback may raise, of which nobody tells. But
    whatever trains a model calls its `make_train_function` first, `fit` as well as
    `train_on_batch`: until the step, that takes the view off.
    """
    _take_off(model)
    step, maker = model.train_function, vars(model).get("make_train_function")

    def take_off() -> None:
        if model.train_function is through_the_view:  # and not compiled anew
            model.train_function = step
        if maker is None:
            del model.make_train_function
        else:
            model.make_train_function = maker

    def through_the_view(*arguments: Any) -> Any:
        take_off()
        *state, batches = arguments
        return step(*state, _viewed(batches, view))

    def make_train_function(force: bool = False) -> Any:
        take_off()
        return model.make_train_function(force)

    make_train_function.take_off = take_off  # type: ignore[attr-defined]
    model.train_function = through_the_view
    model.make_train_function = make_train_function


def _take_off(model: keras.Model) -> None:
    """Takes off a view whose step has not come."""
    getattr(model.make_train_function, "take_off", lambda: None)()


def _viewed(batches: Any, view: View) -> Any:
    if isinstance(batches, (list, tuple)):
        return [_batch(batch, view) for batch in batches]
    first = next(batches)  # the end of the data is for the caller of the step to see
    return _lazily(chain([first], batches), view)


def _lazily(batches: Iterator, view: View) -> Iterator:
    return (_batch(batch, view) for batch in batches)


def _batch(batch: Any, view: View) -> Any:
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    return keras.utils.pack_x_y_sample_weight(view(images), labels, weights)
