"""What pictures have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_maskdef.core.atomic_files import replaced
from keras_maskdef.core.extras import require

# Colour-blind safe (Okabe and Ito).
RIGHT, WRONG = "#0072B2", "#D55E00"
MARKERS = "osDv^PX<>"  # not as many as colours, so that no two lines look alike
INK = "#333333"
RULE = "#e3e3e3"
HIDDEN = 0.35  # grey, since what is hidden and what is drawn are both black

BARE = "#767676"
# Okabe and Ito without gray, the darker ones first.
LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


class Picture(NamedTuple):
    """A picture of a run, and what a reader has to be told of it."""

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
    """A figure that needs no display, and its axes as a grid."""
    require("matplotlib", extra)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def verdict(names: Sequence[str], found: int, label: int) -> tuple[str, str]:
    """The name of the class, marked not by colour alone."""
    right = found == label
    marked = f"{plain(str(names[found]))} {'✓' if right else '✗'}"
    return marked, RIGHT if right else WRONG


def write(axis: Any, text: str, colour: str, fontsize: int = 16) -> None:
    axis.set_aspect("equal")
    axis.axis("off")
    where = {"ha": "center", "va": "center"}
    axis.text(0.5, 0.5, text, color=colour, fontsize=fontsize, **where)


def beside(axis: Any, name: str) -> None:
    """A heading to the left, where turning the axis off hides the axis label."""
    where = {"xycoords": "axes fraction", "ha": "right", "va": "center"}
    axis.annotate(name, (-0.1, 0.5), fontsize=11, **where)


def above(axis: Any, name: str) -> None:
    """A heading above the title."""
    where = {"xycoords": "axes fraction", "ha": "center", "va": "bottom"}
    axis.annotate(name, (0.5, 1.32), fontsize=10, **where)


def show(
    axis: Any, image: np.ndarray, title: str, colour: str, fontsize: int = 11
) -> None:
    axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, color=colour, fontsize=fontsize, pad=3)
    axis.axis("off")


def spread(heights: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """How far an error bar goes down and up, in percent."""
    reach = np.array([heights - bounds[:, 0], bounds[:, 1] - heights])
    return 100 * np.clip(reach, 0, None)


def plain(text: str, longest: int = 40) -> str:
    """A name on one line, cut where it is long, not left out of a legend for its _."""
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    text = text.replace("\n", " ")
    return f" {text}" if text.startswith("_") else text


def save(figure: Any, path: str | Path, **options: Any) -> None:
    """Writes a figure whose text is as it was given: no formulas between dollars."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    path = Path(path)
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with rc_context({"text.parse_math": False}):  # ticks are made while it is drawn
        with replaced(path) as unfinished:
            figure.savefig(unfinished, **options)


def finish(figure: Any, axis: Any, path: Path) -> None:
    """Writes a figure of a run, with the legend of one axis below everything."""
    figure.subplots_adjust(bottom=0.5 / figure.get_figheight())
    handles, labels = axis.get_legend_handles_labels()
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0)}
    columns = 1 if max(map(len, labels)) > 24 else 2
    figure.legend(handles, labels, ncols=columns, frameon=False, **where)
    save(figure, path, bbox_inches="tight", dpi=160)
