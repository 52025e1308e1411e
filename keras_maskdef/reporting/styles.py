"""Colours and markers of the defences in the pictures of a run."""

from typing import Any

from keras_maskdef.reporting.figures import BARE, LINES, MARKERS
from keras_maskdef.results import Report


def styles(report: Report) -> dict[str, dict[str, Any]]:
    """A style for each defence; base models are always grey and dashed."""
    looks, colours = {}, 0
    for number, name in enumerate(report.defences):
        is_base = report.base(name) is None
        colour = BARE if is_base else LINES[colours % len(LINES)]
        colours += not is_base
        marker = MARKERS[number % len(MARKERS)]
        looks[name] = {
            "color": colour,
            "marker": marker,
            "ls": "--" if is_base else "-",
        }
    return looks
