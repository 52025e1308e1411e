"""Masks drawn at random, as many as there is memory for at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from keras_maskdef.certification.answers import distinct

# Numbers of one draw, 64 MiB. Not what a user allows: other draws are other masks.
_NUMBERS = 1 << 24


class Drawn(NamedTuple):
    """Different masks, and how often each was drawn.

    Args:
        hidden: Booleans `(masks, cells)`, true where hidden.
        selected: Integers `(masks,)`: among the masks that choose a class.
        counted: Integers `(masks,)`: among those that bound its share.
    """

    hidden: np.ndarray
    selected: np.ndarray
    counted: np.ndarray


def each_once(hidden: np.ndarray) -> Drawn:
    """Masks that nobody drew."""
    once = np.ones(len(hidden), int)
    return Drawn(hidden, once, once)


def masks_of_a_draw(cells: int) -> int:
    """How many masks of so many cells are drawn at once."""
    return max(1, _NUMBERS // cells)


def drawn(
    draw: Callable[[int], np.ndarray], cells: int, selection: int, samples: int
) -> Iterator[Drawn]:
    """All masks for an image, in portions; in one where a draw makes them all.

    Those that are drawn again are counted: of 16 cells there are 65,536, and a billion
    of them are one portion.

    Args:
        draw: From a number to as many masks, booleans `(masks, cells)`.
        cells: Integer, cells of a mask.
        selection: Integer, the first masks, which choose a class.
        samples: Integer, the others.
    """
    most, total = masks_of_a_draw(cells), selection + samples
    held = None
    for start in range(0, total, most):
        hidden = draw(min(most, total - start))
        selecting = np.arange(start, start + len(hidden)) < selection
        made = _counted(hidden, selecting.astype(int), (~selecting).astype(int))
        held = made if held is None else _together(held, made)
        if len(held.hidden) > most:
            yield held
            held = None
    if held is not None:
        yield held


def _together(first: Drawn, second: Drawn) -> Drawn:
    parts = zip(first, second, strict=True)
    return _counted(*(np.concatenate(pair) for pair in parts))


def _counted(hidden: np.ndarray, selected: np.ndarray, counted: np.ndarray) -> Drawn:
    masks, place = distinct(hidden)
    selected, counted = (
        np.bincount(place, times, minlength=len(masks)).astype(int)
        for times in (selected, counted)
    )
    return Drawn(masks, selected, counted)
