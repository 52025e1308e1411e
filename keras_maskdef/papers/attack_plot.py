"""Draws a table of attacks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_maskdef.papers.report_rows import columns, counted, ordered, title
from keras_maskdef.reporting.figures import (
    BARE,
    INK,
    LINES,
    MARKERS,
    RULE,
    finish,
    new_figure,
    plain,
)
from keras_maskdef.results import Report


def plot_beside(recipe: Any, result: Mapping[str, Any], path: Path) -> None:
    """Draws a dot for each row and column; the paper's are hollow.

    Args:
        recipe: `AttackTable`.
        result: The result of its `run`.
        path: Where to write a PNG.
    """
    report = Report.from_dict(result)
    rows = ordered(report.rows)
    names, colours = columns(report), 0
    figure, axes = new_figure(1, 1, (7.5, 1.2 + 0.26 * len(rows)))
    axis = axes[0, 0]
    for number, name in enumerate(names):
        is_base = report.base(name) is None
        colour = BARE if is_base else LINES[colours % len(LINES)]
        colours += not is_base
        marker = MARKERS[number % len(MARKERS)]
        offset = 0.6 * (number / max(1, len(names) - 1) - 0.5) if len(names) > 1 else 0
        label = plain(report.heading(name), 60)
        for place, row in enumerate(rows):
            score = row.scores[name]
            if score is None:
                continue
            accuracy, (low, high) = counted(score, row, recipe.counts)
            reach = [[100 * max(0, accuracy - low)], [100 * max(0, high - accuracy)]]
            style = {"color": colour, "ms": 4, "lw": 1, "label": label}
            axis.errorbar(
                100 * accuracy, place + offset, xerr=reach, fmt=marker, **style
            )
            label = "_"  # one legend entry for each column
            column = recipe.beside.get(name)
            paper = None if column is None else recipe.paper_figure(row, column)
            if paper is not None:
                hollow = {"mfc": "none", "mec": colour, "ms": 7, "mew": 1.2}
                axis.plot(100 * paper, place + offset, marker, **hollow)
    axis.set_yticks(range(len(rows)), [title(row) for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(-1, 101)
    axis.set_xlabel("accuracy in %; hollow: the paper's", color=INK)
    axis.grid(axis="x", color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False, colors=INK)
    finish(figure, axis, path)
