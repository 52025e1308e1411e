"""A dot plot of all rows of a run; bars for two dozen rows would be too thin."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.reporting.figures import (
    INK,
    RULE,
    Picture,
    finish,
    new_figure,
    plain,
    spread,
)
from keras_maskdef.reporting.styles import styles
from keras_maskdef.results import Report, Row
from keras_maskdef.results.report import ADAPTIVE, CLEAN, QUOTED, UNION
from keras_maskdef.results.wording import attacker


def draw_rows(report: Report, path: Path) -> Picture:
    """Writes a dot plot of a report as PNG, grouped by threat model.

    Args:
        report: The report.
        path: Where to write.
    """
    rows = [row for group in report.groups for row in group]
    places, heads = _places(report)
    end = places[-1] + 0.6
    tall = (0.13 + 0.065 * len(report.defences)) * end + 0.7
    figure, axes = new_figure(1, 1, (4.6, tall), "report")
    figure.subplots_adjust(top=1)
    axis = axes[0, 0]
    for number, (name, style) in enumerate(styles(report).items()):
        shift = (number - (len(report.defences) - 1) / 2) * 0.62 / len(report.defences)
        _dots(axis, report, name, places + shift, style)
    for begin, group in zip(heads, report.groups, strict=True):
        _head(axis, begin, group[0], end)
    axis.set_yticks(places, [plain(row.title) for row in rows])
    for label, row in zip(axis.get_yticklabels(), rows, strict=True):
        bold = row.threat_model in QUOTED
        label.set_fontweight("bold" if bold else "normal")
    axis.set_ylim(end, -0.6)
    axis.set_xlim(-1, 101)
    axis.set_xlabel(f"accuracy in %, {report.images:,} images, 95 % intervals")
    axis.grid(axis="x", color=RULE)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    finish(figure, axis, path)
    says = "Accuracy with its 95 % interval, by attack and defence."
    return Picture(path, "rows", f"Dot plot: {says}", "")


def _places(report: Report) -> tuple[np.ndarray, list[float]]:
    """Positions of the rows and of the group headings."""
    places, heads, place = [], [], 0.0
    for group in report.groups:
        heads.append(place)
        place += 0 if group[0].threat_model in (CLEAN, UNION) else 0.7
        places += [place + number for number in range(len(group))]
        place += len(group)
    return np.array(places), heads


def _dots(
    axis: Any, report: Report, name: str, places: np.ndarray, style: dict[str, Any]
) -> None:
    rows = [row for group in report.groups for row in group]
    scores = {n: score for n, row in enumerate(rows) if (score := row.scores.get(name))}
    heights = np.array([score.accuracy for score in scores.values()])
    bounds = np.array([score.interval() for score in scores.values()]).reshape(-1, 2)
    look = {**style, "ls": "", "ms": 4.5, "elinewidth": 1.4, "clip_on": False}
    reach = spread(heights, bounds)
    axis.errorbar(
        100 * heights,
        places[[*scores]],
        xerr=reach,
        label=plain(report.heading(name)),
        zorder=3,
        **look,
    )


def _head(axis: Any, begin: float, row: Row, end: float) -> None:
    """Writes a group's heading and highlights the rows that the headline quotes."""
    if row.threat_model == ADAPTIVE:
        axis.axhspan(begin - 0.5, end, color="#f1f1ee", zorder=0, lw=0)
    if row.threat_model in QUOTED:
        axis.axhline(begin - 0.5, color=INK, lw=1)
    if row.threat_model not in (CLEAN, UNION):
        look = {"va": "center", "fontsize": 9, "style": "italic", "color": "#555555"}
        axis.text(0, begin - 0.05, f" {plain(attacker(row.threat_model))}", **look)
