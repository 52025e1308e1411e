"""Pictures of an evaluation run: curves over size and votes, rows, and images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.core.atomic_files import own_folder
from keras_maskdef.core.intervals import wilson
from keras_maskdef.evaluation.saved_run import CLEAN, UNION, Run
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
from keras_maskdef.reporting.wording import attacker, knowledge, norm, size, title

_MOST = 6


def draw_pictures(run: Run, folder: Path) -> list[Picture]:
    """Writes all pictures that a run has the figures or images for, as PNG.

    Args:
        run: The run.
        folder: Where to write; made where it does not exist.

    Returns:
        The pictures, in the order of the report.

    Raises:
        ImportError: If matplotlib is not installed.
        NotADirectoryError: If the folder is a symbolic link.
    """
    own_folder(folder)
    curves = [
        _draw_sizes(run, rows, folder / f"epsilons-{number}.png")
        for number, rows in enumerate(_sized(run))
    ]
    votes = [
        _draw_votes(run, name, folder / f"votes-{run.names.index(name)}.png")
        for name in run.shown
        if any(run.score(row, name).get("votes") for row in run.rows)
    ]
    images = []
    for number in range(len(run.names)):
        if f"{number}/adversarial" in run.gallery and _can_be_drawn(run):
            images.append(draw_gallery(run, number, folder / f"gallery-{number}.png"))
    return [*curves, *votes, draw_rows(run, folder / "rows.png"), *images]


def _can_be_drawn(run: Run) -> bool:
    """Whether images are grey or in colour; of two channels there are no pictures."""
    *_, height, width, channels = run.gallery["images"].shape
    return min(height, width) > 1 and channels in (1, 3, 4)


def _sized(run: Run) -> list[list[dict[str, Any]]]:
    """The rows of each attack that was tried at two sizes or more, by size."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in run.rows:
        if row["epsilon"] is not None:
            key = ("threat_model", "attack", "norm", "samples", "library")
            groups.setdefault(tuple(row.get(k) for k in key), []).append(row)
    sized = [sorted(rows, key=lambda row: row["epsilon"]) for rows in groups.values()]
    return [rows for rows in sized if len({row["epsilon"] for row in rows}) > 1]


def _draw_sizes(run: Run, rows: list[dict[str, Any]], path: Path) -> Picture:
    figure, axes = new_figure(1, 1, (5, 3.9), "report")
    axis, looks = axes[0, 0], styles(run)
    for name in run.names:
        found = [row for row in (run.rows[0], *rows) if run.score(row, name)]
        _line(
            axis,
            [row["epsilon"] or 0.0 for row in found],
            [run.score(row, name)["accuracy"] for row in found],
            [run.score(row, name)["interval_95"] for row in found],
            {**looks[name], "label": plain(name)},
        )
    ticks = _apart([0.0, *(row["epsilon"] for row in rows)])
    axis.set_xticks(ticks, [size(tick) for tick in ticks])
    axis.set_xlabel(f"size of the attack, {norm(rows[0])}")
    _percent(axis)
    unsized = title({**rows[0], "epsilon": None})
    axis.set_title(f"{plain(unsized)}\n{attacker(rows[0])}", fontsize=11, loc="left")
    finish(figure, axis, path)
    says = f"{unsized}, {attacker(rows[0]).lower()}, against its size."
    alt = f"Line chart: accuracy of {', '.join(run.names)} under {says}"
    return Picture(path, "epsilons", f"{alt} {knowledge(rows[0])}", "")


def _apart(places: Sequence[float]) -> list[float]:
    """Those places, of an ascending list, whose labels do not run into each other."""
    kept = [places[-1]]
    for place in reversed(places[:-1]):
        if kept[-1] - place > 0.12 * places[-1]:
            kept.append(place)
    return kept


def _draw_votes(run: Run, name: str, path: Path) -> Picture:
    speed = run.speed.get(name)
    tall = {"height_ratios": [5, 3], "hspace": 0.15} if speed else {}
    size = (5.6, 5.6 if speed else 4)
    shared = {"sharex": True, "gridspec_kw": tall}
    figure, axes = new_figure(2 if speed else 1, 1, size, "report", **shared)
    axis, rows = axes[0, 0], _voted(run, name)
    for number, row in enumerate(rows):
        heights = run.score(row, name)["votes"]
        look: dict[str, Any] = {"color": LINES[number % 6]}
        look |= {"marker": MARKERS[number % 6], "label": _known(row)}
        if row["threat_model"] == CLEAN:
            look |= {"color": INK, "ls": "--"}
        if row["threat_model"] == UNION:
            look |= {"color": INK, "lw": 2.4}
        bounds = [wilson(height, run.score(row, name)["images"]) for height in heights]
        _line(axis, range(1, len(heights) + 1), heights, bounds, look)
    _percent(axis)
    axis.set_title(plain(name), fontsize=11, loc="left")
    if speed:
        _draw_speed(axes[1, 0], speed)
    axes[-1, 0].set_xlabel("number of votes")
    axes[-1, 0].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    finish(figure, axis, path)
    says = f"Accuracy of {name} on {run.images:,} images, by votes, with 95 % intervals"
    says += ", and how many images it judges a second." if speed else "."
    if len(rows) < sum(bool(run.score(row, name).get("votes")) for row in run.rows):
        says += " Of each kind of attacker, the row with the lowest accuracy is drawn."
    return Picture(path, "votes", f"Line chart: {says}", says)


def _draw_speed(axis: Any, speed: dict[str, Any]) -> None:
    axis.plot(speed["votes"], speed["images_per_second"], "o-", c=INK, ms=4)
    axis.set_ylim(0)
    axis.set_ylabel("images per second")
    axis.grid(axis="y", color=RULE)
    axis.spines[["top", "right"]].set_visible(False)


def _known(row: dict[str, Any]) -> str:
    """A row by its attack and by what the attacker knows."""
    if row["threat_model"] in (CLEAN, UNION):
        return plain(title(row))
    return plain(f"{title(row)}, {attacker(row).lower()}", longest=60)


def _voted(run: Run, name: str) -> list[dict[str, Any]]:
    """The rows to draw over votes: too many of them could not be told apart."""
    rows = [row for row in run.rows if run.score(row, name).get("votes")]
    if len(rows) <= _MOST:
        return rows
    worst: dict[str, dict[str, Any]] = {}
    for row in rows:
        best = worst.setdefault(row["threat_model"], row)
        if run.score(row, name)["accuracy"] < run.score(best, name)["accuracy"]:
            worst[row["threat_model"]] = row
    return list(worst.values())


def _line(
    axis: Any,
    places: Sequence[float],
    heights: Sequence[float],
    bounds: Sequence[Sequence[float]],
    style: dict[str, Any],
) -> None:
    look = {"ms": 5, "lw": 1.6, "clip_on": False, **style}
    axis.plot(places, 100 * np.array(heights), **look)
    low, high = 100 * np.array(bounds).reshape(-1, 2).T
    axis.fill_between(places, low, high, color=style["color"], alpha=0.15, lw=0)


def _percent(axis: Any) -> None:
    axis.set_ylabel("accuracy in %")
    axis.set_ylim(0, 100)
    axis.grid(axis="y", color=RULE)
    axis.spines[["top", "right"]].set_visible(False)
