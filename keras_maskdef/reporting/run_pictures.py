"""Pictures of an evaluation run: curves over epsilon and votes, rows, images."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.core.atomic_files import own_folder
from keras_maskdef.core.intervals import wilson_of_many
from keras_maskdef.reporting.figures import (
    INK,
    LINES,
    MARKERS,
    RULE,
    Picture,
    finish,
    new_figure,
    plain,
)
from keras_maskdef.reporting.gallery_picture import draw_gallery
from keras_maskdef.reporting.rows_picture import draw_rows
from keras_maskdef.reporting.styles import styles
from keras_maskdef.results import Report, Row, Score, wording
from keras_maskdef.results.report import CLEAN, QUOTED, UNION
from keras_maskdef.results.saved_run import SavedRun

_MOST = 6
# Limits of lines over epsilon, of their pictures, and of pictures over votes: a line
# takes 10 ms, a picture 0.1 s.
_MOST_LINES, _MOST_CURVES, _MOST_VOTES = 200, 16, 12


def draw_pictures(run: SavedRun, folder: Path) -> list[Picture]:
    """Writes all pictures that the data of a run allow, as PNG.

    Args:
        run: The run.
        folder: Where to write; made if missing.

    Returns:
        The pictures, in the order of the report.

    Raises:
        ImportError: If matplotlib is not installed.
        NotADirectoryError: If the folder is a symbolic link.
    """
    own_folder(folder)
    report, names = run.report, run.report.defences
    curves = _draw_curves(report, folder)
    voting = [name for name in report.judged if _voted(report, name)]
    votes = [
        _draw_votes(run, name, folder / f"votes-{names.index(name)}.png")
        for name in voting[:_MOST_VOTES]
    ]
    images = []
    for number in range(len(names)):
        if f"{number}/adversarial" in run.gallery and _can_be_drawn(run):
            images.append(draw_gallery(run, number, folder / f"gallery-{number}.png"))
    return [*curves, *votes, draw_rows(report, folder / "rows.png"), *images]


def _can_be_drawn(run: SavedRun) -> bool:
    """Whether images have 1, 3 or 4 channels and more than one row and column."""
    *_, height, width, channels = run.gallery["images"].shape
    return min(height, width) > 1 and channels in (1, 3, 4)


def _draw_curves(report: Report, folder: Path) -> list[Picture]:
    """The curves of the attackers who know most, if there are too many to draw all."""
    curves = _curves(report)
    most = min(_MOST_CURVES, max(1, _MOST_LINES // len(report.defences)))
    known = {group[0].threat_model: n for n, group in enumerate(report.groups)}
    chosen = sorted(curves, key=lambda rows: -known[rows[0].threat_model])[:most]
    drawn = [
        _draw_epsilons(report, rows, folder / f"epsilons-{number}.png")
        for number, rows in enumerate(curves)
        if any(rows is each for each in chosen)
    ]
    if len(drawn) < len(curves):
        left = f"{len(curves) - len(drawn)} more attacks are in the tables alone."
        drawn[-1] = drawn[-1]._replace(caption=left)
    return drawn


def _curves(report: Report) -> list[list[Row]]:
    """The rows of each attack with at least two epsilons, by epsilon."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in report.rows:
        if row.epsilon is not None:
            key = row.threat_model, row.attack, row.norm, row.samples, row.library
            groups.setdefault(key, []).append(row)
    curves = [sorted(rows, key=_epsilon) for rows in groups.values()]
    return [rows for rows in curves if len({*map(_epsilon, rows)}) > 1]


def _epsilon(row: Row) -> float:
    return row.epsilon or 0.0


def _draw_epsilons(report: Report, rows: list[Row], path: Path) -> Picture:
    figure, axes = new_figure(1, 1, (5, 3.9), "report")
    axis, looks = axes[0, 0], styles(report)
    for name in report.defences:
        scored = [
            (row, score)
            for row in (report.rows[0], *rows)
            if (score := row.scores.get(name))
        ]
        _line(
            axis,
            [_epsilon(row) for row, _ in scored],
            [score.accuracy for _, score in scored],
            [score.interval() for _, score in scored],
            {**looks[name], "label": plain(report.heading(name))},
        )
    ticks = _apart([0.0, *map(_epsilon, rows)])
    axis.set_xticks(ticks, [wording.size(tick) for tick in ticks])
    axis.set_xlabel(f"epsilon, {wording.norm(rows[0].norm)}")
    _percent(axis)
    attack = replace(rows[0], epsilon=None).title
    attacker = wording.attacker(rows[0].threat_model)
    axis.set_title(f"{plain(attack)}\n{attacker}", fontsize=11, loc="left")
    finish(figure, axis, path)
    says = f"{attack}, {attacker.lower()}, against epsilon."
    names = ", ".join(map(report.heading, report.defences))
    alt = f"Line chart: robust accuracy of {names} under {says}"
    knowledge = wording.knowledge(rows[0].threat_model)
    return Picture(path, "epsilons", f"{alt} {knowledge}", "")


def _apart(places: Sequence[float]) -> list[float]:
    """The places of an ascending list whose labels do not overlap."""
    kept = [places[-1]]
    for place in reversed(places[:-1]):
        if kept[-1] - place > 0.12 * places[-1]:
            kept.append(place)
    return kept


def _draw_votes(run: SavedRun, name: str, path: Path) -> Picture:
    speed = run.speed.get(name)
    tall = {"height_ratios": [5, 3], "hspace": 0.15} if speed else {}
    size = (5.6, 5.6 if speed else 4)
    shared = {"sharex": True, "gridspec_kw": tall}
    figure, axes = new_figure(2 if speed else 1, 1, size, "report", **shared)
    axis, voted = axes[0, 0], _voted(run.report, name)
    drawn = _few(voted)
    for number, (row, score) in enumerate(drawn):
        heights = score.votes or ()
        look: dict[str, Any] = {"color": LINES[number % 6]}
        look |= {"marker": MARKERS[number % 6], "label": _known(row)}
        if row.threat_model == CLEAN:
            look |= {"color": INK, "ls": "--"}
        if row.threat_model == UNION:
            look |= {"color": INK, "lw": 2.4}
        bounds = wilson_of_many(np.array(heights), score.images)
        _line(axis, range(1, len(heights) + 1), heights, bounds, look)
    _percent(axis)
    heading = run.report.heading(name)
    axis.set_title(plain(heading), fontsize=11, loc="left")
    if speed:
        _draw_speed(axes[1, 0], speed)
    axes[-1, 0].set_xlabel("number of votes")
    axes[-1, 0].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    finish(figure, axis, path)
    images = f"{run.report.images:,} images"
    says = f"Accuracy of {heading} on {images}, by votes, with 95 % intervals"
    says += ", and how many images it predicts a second." if speed else "."
    if len(drawn) < len(voted):
        says += " Of each threat model, the row with the lowest accuracy is drawn."
    return Picture(path, "votes", f"Line chart: {says}", says)


def _draw_speed(axis: Any, speed: dict[str, Any]) -> None:
    axis.plot(speed["votes"], speed["images_per_second"], "o-", c=INK, ms=4)
    axis.set_ylim(0)
    axis.set_ylabel("images per second")
    axis.grid(axis="y", color=RULE)
    axis.spines[["top", "right"]].set_visible(False)


def _known(row: Row) -> str:
    """A label of a row: its attack and its threat model."""
    if row.threat_model in (CLEAN, *QUOTED):
        return plain(row.title, longest=60)
    attacker = wording.attacker(row.threat_model).lower()
    return plain(f"{row.title}, {attacker}", longest=60)


def _voted(report: Report, name: str) -> list[tuple[Row, Score]]:
    """The rows with accuracies by the number of votes."""
    return [
        (row, score)
        for row in report.rows
        if (score := row.scores.get(name)) and score.votes
    ]


def _few(rows: list[tuple[Row, Score]]) -> list[tuple[Row, Score]]:
    """The rows to draw over votes; of many, the worst of each threat model."""
    if len(rows) <= _MOST:
        return rows
    worst: dict[str, tuple[Row, Score]] = {}
    for row, score in rows:
        _, least = worst.setdefault(row.threat_model, (row, score))
        if score.accuracy < least.accuracy:
            worst[row.threat_model] = row, score
    return list(worst.values())[: 2 * _MOST]


def _line(
    axis: Any,
    places: Sequence[float],
    heights: Sequence[float],
    bounds: Any,
    style: dict[str, Any],
) -> None:
    look = {"ms": 5, "lw": 1.6, "clip_on": False, **style}
    look["markevery"] = 1 + len(places) // 100
    axis.plot(places, 100 * np.array(heights), **look)
    low, high = 100 * np.array(bounds).reshape(-1, 2).T
    axis.fill_between(places, low, high, color=style["color"], alpha=0.15, lw=0)


def _percent(axis: Any) -> None:
    axis.set_ylabel("accuracy in %")
    axis.set_ylim(0, 100)
    axis.grid(axis="y", color=RULE)
    axis.spines[["top", "right"]].set_visible(False)
