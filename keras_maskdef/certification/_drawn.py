"""Masks drawn at random, as many at a time as memory holds."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from keras_maskdef.certification.answers import distinct

# Numbers of one draw, 64 MiB. Users cannot set it: other draws are other masks.
_NUMBERS = 1 << 24


class Drawn(NamedTuple):
    """Distinct masks, and how often each was drawn.

    Args:
        hidden: Booleans `(masks, cells)`, true where hidden.
        selected: Integers `(masks,)`: among the masks that choose a class.
        counted: Integers `(masks,)`: among the masks that bound its share.
    """

    hidden: np.ndarray
    selected: np.ndarray
    counted: np.ndarray


def each_once(hidden: np.ndarray) -> Drawn:
    """Masks that are enumerated, not drawn."""
    once = np.ones(len(hidden), int)
    return Drawn(hidden, once, once)


def masks_of_a_draw(cells: int) -> int:
    """How many masks of `cells` cells are drawn at once."""
    return max(1, _NUMBERS // cells)


def drawn(
    draw: Callable[[int], np.ndarray], cells: int, selection: int, samples: int
) -> Iterator[Drawn]:
    """Draws all masks for an image, in portions; in one if one draw makes them all.

    Masks that are drawn again are counted: 16 cells have 65,536 masks, so a billion
    draws are one portion.

    Args:
        draw: Function from a number to as many masks, booleans `(masks, cells)`.
        cells: Integer, cells of a mask.
        selection: Integer, the first masks, which choose a class.
        samples: Integer, the other masks.
    """
    most, total = masks_of_a_draw(cells), selection + samples
    held = None
    for start in range(0, total, most):
        hidden = draw(min(most, total - start))
        selecting = np.arange(start, start + len(hidden)) < selection
        portion = _counted(hidden, selecting.astype(int), (~selecting).astype(int))
        held = portion if held is None else _together(held, portion)
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
