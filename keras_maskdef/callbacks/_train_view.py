"""Applies a view, a function of images, to the images of the next training step."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import keras

View = Callable[[Any], Any]


def present_next_step(model: keras.Model, view: View) -> None:
    """Makes the next call of `model.train_function` get `view(images)`.

    That function takes an iterator of batches (on PyTorch a list of one batch) and runs
    the compiled step on each batch, so the step and its compilation do not change. The
    original function is restored before the step begins, so an error in the step needs
    no cleanup.

    Another callback may raise between this call and the step, without notice. But both
    `fit` and `train_on_batch` call `make_train_function` before they train: until the
    step, that method removes the view as well.
    """
    _take_off(model)
    step, maker = model.train_function, vars(model).get("make_train_function")

    def take_off() -> None:
        if model.train_function is through_the_view:  # not if compiled anew
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
    """Removes a view whose step did not run."""
    getattr(model.make_train_function, "take_off", lambda: None)()


def _viewed(batches: Any, view: View) -> Any:
    if isinstance(batches, (list, tuple)):
        return [_batch(batch, view) for batch in batches]
    first = next(batches)  # the caller of the step must see the end of the data
    return _lazily(chain([first], batches), view)


def _lazily(batches: Iterator, view: View) -> Iterator:
    return (_batch(batch, view) for batch in batches)


def _batch(batch: Any, view: View) -> Any:
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    return keras.utils.pack_x_y_sample_weight(view(images), labels, weights)
