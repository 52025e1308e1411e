"""Colours, figures and text that all pictures share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_maskdef.core.atomic_files import replaced
from keras_maskdef.core.extras import require

# Colour-blind safe (Okabe and Ito).
RIGHT, WRONG = "#0072B2", "#D55E00"
MARKERS = "osDv^PX<>"  # more than colours, so that no two lines look alike
INK = "#333333"
RULE = "#e3e3e3"
HIDDEN = 0.35  # grey for hidden cells, since images have black pixels too

BARE = "#767676"
# Okabe and Ito without black and yellow.
LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


class Picture(NamedTuple):
    """A picture of a run, with its description and caption."""

    path: Path
    section: str  # "epsilons", "votes", "rows" or "gallery"
    alt: str
    caption: str


def new_figure(
    rows: int,
    columns: int,
    size: tuple[float, float],
    extra: str = "plots",
    **grid: Any,
) -> Any:
    """Makes a figure that needs no display, and a grid of axes."""
    require("matplotlib", extra)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def verdict(names: Sequence[str], found: int, label: int) -> tuple[str, str]:
    """The name of a predicted class with ✓ or ✗, and its colour."""
    right = found == label
    marked = f"{plain(str(names[found]))} {'✓' if right else '✗'}"
    return marked, RIGHT if right else WRONG


def write(axis: Any, text: str, colour: str, fontsize: int = 16) -> None:
    axis.set_aspect("equal")
    axis.axis("off")
    where = {"ha": "center", "va": "center"}
    axis.text(0.5, 0.5, text, color=colour, fontsize=fontsize, **where)


def beside(axis: Any, name: str) -> None:
    """Writes a heading to the left; the axis label is hidden with the axis."""
    where = {"xycoords": "axes fraction", "ha": "right", "va": "center"}
    axis.annotate(name, (-0.1, 0.5), fontsize=11, **where)


def above(axis: Any, name: str) -> None:
    """Writes a heading above the title."""
    where = {"xycoords": "axes fraction", "ha": "center", "va": "bottom"}
    axis.annotate(name, (0.5, 1.32), fontsize=10, **where)


def show(
    axis: Any, image: np.ndarray, title: str, colour: str, fontsize: int = 11
) -> None:
    axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, color=colour, fontsize=fontsize, pad=3)
    axis.axis("off")


def spread(heights: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Lengths of error bars, down and up, in percent."""
    reach = np.array([heights - bounds[:, 0], bounds[:, 1] - heights])
    return 100 * np.clip(reach, 0, None)


def plain(text: str, longest: int = 40) -> str:
    """A name on one line, cut if long; a leading _ would hide it in a legend."""
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    text = text.replace("\n", " ")
    return f" {text}" if text.startswith("_") else text


def save(figure: Any, path: str | Path, **options: Any) -> None:
    """Writes a figure with literal text: dollar signs start no formulas."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    path = Path(path)
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with rc_context({"text.parse_math": False}):  # ticks are made during drawing
        with replaced(path) as unfinished:
            figure.savefig(unfinished, **options)


def finish(figure: Any, axis: Any, path: Path) -> None:
    """Writes a figure with the legend of one axis below it."""
    figure.subplots_adjust(bottom=0.5 / figure.get_figheight())
    handles, labels = axis.get_legend_handles_labels()
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0)}
    columns = 1 if max(map(len, labels)) > 24 else 2
    figure.legend(handles, labels, ncols=columns, frameon=False, **where)
    save(figure, path, bbox_inches="tight", dpi=160)
