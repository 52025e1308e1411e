"""Pictures of an evaluation: what the attack did, and how the views voted."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_maskdef._extra import require
from keras_maskdef.evaluation.report import Report
from keras_maskdef.layers import RandomGridMask, VotingEnsemble

# Colour-blind safe (Okabe and Ito).
_RIGHT, _WRONG = "#0072B2", "#D55E00"
_BARS = ("#999999", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7")


def plot_report(report: Report, path: str | Path) -> None:
    """Writes a bar chart of a report's table, with its 95 % intervals, as PNG."""
    figure, axes = _figure(1, 1, (2.2 * len(report.rows) + 2, 5.2))
    axes = axes[0, 0]
    places = np.arange(len(report.rows))
    width = 0.84 / len(report.defences)
    for number, name in enumerate(report.defences):
        scores = [row.scores[name] for row in report.rows]
        heights = np.array([score.accuracy for score in scores])
        bounds = np.array([score.interval() for score in scores])
        spread = np.clip([heights - bounds[:, 0], bounds[:, 1] - heights], 0, None)
        shift = (number - (len(report.defences) - 1) / 2) * width
        bars = axes.bar(
            places + shift,
            100 * heights,
            width,
            yerr=100 * spread,
            color=_BARS[number % len(_BARS)],
            error_kw={"elinewidth": 1, "ecolor": "#333333"},
            label=name,
        )
        # At the foot of the bar, where no error bar crosses it.
        labels = [f"{100 * height:.0f}" for height in heights]
        for bar, label in zip(bars, labels, strict=True):
            axes.annotate(
                label,
                (bar.get_x() + bar.get_width() / 2, 1),
                ha="center",
                va="bottom",
                fontsize=8,
            )
    axes.set_xticks(
        places, [row.title.replace(" linf ", "\nLinf ") for row in report.rows]
    )
    axes.set_ylabel("accuracy in %")
    axes.set_ylim(0, 100)
    images = report.rows[0].scores[report.defences[0]].images
    axes.set_title(f"{images} test images, 95 % intervals")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False)
    figure.savefig(path, bbox_inches="tight")


def plot_votes(
    defence: VotingEnsemble,
    images: np.ndarray,
    adversarial: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    path: str | Path,
) -> None:
    """Writes a PNG of images, their adversarial twins, and the views that vote.

    Args:
        defence: The vote that judges the adversarial images, once.
        images: Original images, `(n, height, width, channels)` in [0, 1].
        adversarial: What an attack made of them.
        labels: Integers `(n,)`, the true classes.
        class_names: Name of each class.
        path: Where to write.
    """
    keep = defence.mask.sample(adversarial, views=defence.votes)
    views = _drawn(defence.mask, adversarial, keep)
    outputs = defence.view_outputs(adversarial, keep)
    ballots = _classes(outputs)
    verdicts = _classes(defence.pool(outputs))
    fooled = _classes(defence.classifier(adversarial, training=False))
    columns = 2 + defence.votes + 1
    figure, axes = _figure(len(images), columns, (1.5 * columns, 1.8 * len(images)))
    for row, (cells, label) in enumerate(zip(axes, labels, strict=True)):
        _show(cells[0], images[row], class_names[label], "#333333")
        _show(cells[1], adversarial[row], *_verdict(class_names, fooled[row], label))
        for number in range(defence.votes):
            text = _verdict(class_names, ballots[number, row], label)
            _show(cells[2 + number], views[number, row], *text)
        _write(cells[-1], *_verdict(class_names, verdicts[row], label))
    headings = ["original", "attacked", *("view",) * defence.votes, "vote"]
    for axis, heading in zip(axes[0], headings, strict=True):
        axis.annotate(
            heading,
            (0.5, 1.32),
            xycoords="axes fraction",
            ha="center",
            va="bottom",
            fontsize=10,
        )
    figure.savefig(path, bbox_inches="tight")


def _figure(rows: int, columns: int, size: tuple[float, float]) -> Any:
    """A figure that needs no display, and its axes as a grid."""
    require("matplotlib", "plots")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _classes(outputs: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(outputs).argmax(-1)


def _verdict(names: tuple[str, ...], found: int, label: int) -> tuple[str, str]:
    """The name of the class, marked not by colour alone."""
    right = found == label
    return f"{names[found]} {'✓' if right else '✗'}", _RIGHT if right else _WRONG


def _drawn(mask: RandomGridMask, images: np.ndarray, keep: Any) -> np.ndarray:
    """Masked views with hidden cells in grey, since digits are black as well."""
    grey = RandomGridMask.from_config({**mask.get_config(), "fill_value": 0.35})
    return keras.ops.convert_to_numpy(grey.apply(images, keep))


def _write(axis: Any, text: str, colour: str) -> None:
    axis.set_aspect("equal")
    axis.axis("off")
    axis.text(0.5, 0.5, text, color=colour, fontsize=16, ha="center", va="center")


def _show(axis: Any, image: np.ndarray, title: str, colour: str) -> None:
    axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, color=colour, fontsize=11, pad=3)
    axis.axis("off")
