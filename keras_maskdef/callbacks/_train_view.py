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
    """
    present_as_it_is(model)
    step = model.train_function

    def through_the_view(*arguments: Any) -> Any:
        model.train_function = step
        *state, batches = arguments
        return step(*state, _viewed(batches, view))

    through_the_view.step = step  # type: ignore[attr-defined]
    model.train_function = through_the_view


def present_as_it_is(model: keras.Model) -> None:
    """Takes off a view whose step never came, as another callback raised."""
    model.train_function = getattr(model.train_function, "step", model.train_function)


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
