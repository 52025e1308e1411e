"""How the defences of a run look in its pictures."""

from typing import Any

from keras_maskdef.evaluation.saved_run import Run
from keras_maskdef.reporting.figures import BARE, LINES, MARKERS


def styles(run: Run) -> dict[str, dict[str, Any]]:
    """A look for each defence: bare classifiers are grey and dashed everywhere."""
    looks, colours = {}, 0
    for number, name in enumerate(run.names):
        bare = run.bare(name) is None
        colour = BARE if bare else LINES[colours % len(LINES)]
        colours += not bare
        marker = MARKERS[number % len(MARKERS)]
        looks[name] = {"color": colour, "marker": marker, "ls": "--" if bare else "-"}
    return looks
