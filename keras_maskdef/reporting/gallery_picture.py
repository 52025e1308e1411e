"""A gallery of adversarial images and the predictions of a defence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_maskdef.reporting.figures import (
    HIDDEN,
    INK,
    Picture,
    above,
    beside,
    new_figure,
    plain,
    save,
    show,
    verdict,
    write,
)
from keras_maskdef.results.saved_run import SavedRun

_VIEWS = 4
_LONGEST = 11  # letters of a class name that fit above an image


class _Column(NamedTuple):
    """Images below one heading, with a title above each image."""

    heading: str
    images: np.ndarray
    titles: Sequence[tuple[str, str]]


def draw_gallery(run: SavedRun, number: int, path: Path) -> Picture:
    """Writes the gallery of one defence as PNG, one image in each row.

    Args:
        run: The run.
        number: Integer, index of the defence in the run.
        path: Where to write.
    """
    mine = f"{number}/"
    parts = {
        key.removeprefix(mine): value
        for key, value in run.gallery.items()
        if key.startswith(mine)
    }
    images, labels = run.gallery["images"], run.gallery["labels"]
    names = [plain(str(name), _LONGEST) for name in run.report.class_names]
    factor = _factor(parts["adversarial"] - images)
    columns = _columns(parts, images, labels, names, factor)
    size = (1.12 * (len(columns) + 1) + 0.8, 1.42 * len(labels))
    figure, axes = new_figure(len(labels), len(columns) + 1, size, "report")
    for place, (cells, label) in enumerate(zip(axes, labels, strict=True)):
        beside(cells[0], names[label])
        for cell, column in zip(cells, columns, strict=False):
            image = np.clip(column.images[place], 0, 1)
            show(cell, image, *column.titles[place], fontsize=9)
        write(
            cells[-1], *verdict(names, parts["prediction"][place], label), fontsize=10
        )
    for cell, column in zip(axes[0], columns, strict=False):
        above(cell, column.heading)
    above(axes[0, -1], "verdict")
    save(figure, path, bbox_inches="tight", dpi=130)
    return _told(run, number, path, parts, factor)


def _columns(
    own: dict[str, np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    factor: float,
) -> list[_Column]:
    def verdicts(classes: np.ndarray) -> list[tuple[str, str]]:
        return [verdict(names, *pair) for pair in zip(classes, labels, strict=True)]

    none = [("", INK)] * len(labels)
    attacked = own["adversarial"]
    noise = 0.5 + factor * (attacked - images)
    columns = [
        _Column("original", images, verdicts(own["clean_prediction"])),
        _Column(f"change ×{factor:g}", noise, none),
        _Column("attacked", attacked, none),
    ]
    if "mask" in own:
        kept = [f"keeps {100 * mask.mean():.0f} %" for mask in own["mask"]]
        columns.append(_Column("mask", own["mask"], [(text, INK) for text in kept]))
    if "filtered" in own:
        columns.append(_Column("filtered", own["filtered"], none))
    for view in range(min(_VIEWS, len(own.get("views", ())))):
        ballots = verdicts(own["ballots"][view])
        columns.append(_Column(f"view {view + 1}", _view(own, view), ballots))
    return columns


def _view(own: dict[str, np.ndarray], view: int) -> np.ndarray:
    """One view with hidden cells in grey, since images have black pixels too."""
    pixels = own["views"][view]
    if "hidden" not in own:
        return pixels
    return np.where(own["hidden"][view][..., None], HIDDEN, pixels)


def _factor(change: np.ndarray) -> float:
    """The largest whole factor that amplifies a change without clipping."""
    largest = float(np.abs(change).max())
    return 1.0 if largest == 0 else max(1.0, float(np.floor(0.5 / largest + 1e-3)))


def _told(
    run: SavedRun, number: int, path: Path, own: dict[str, Any], factor: float
) -> Picture:
    name = run.report.heading(run.report.defences[number])
    labels = run.gallery["labels"]
    right = int((own["prediction"] == labels).sum())
    attack = str(run.gallery["title"]) if "title" in run.gallery else "an attack"
    says = (
        f"{len(labels)} images, attacked by {attack}, and the verdicts of {name}: "
        f"{right} of {len(labels)} right when attacked. The change is drawn "
        f"×{factor:g} around grey."
    )
    if "views" in own:
        shown = min(_VIEWS, len(own["views"]))
        says += f" {shown} of {len(own['views'])} masked views, hidden cells in grey."
    return Picture(path, "gallery", f"Grid of images: {says}", says)
