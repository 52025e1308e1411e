"""A recipe for accuracy and speed by the number of votes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from keras_maskdef import predict
from keras_maskdef.core.durations import fastest
from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.papers.attack_table import AttackTable
from keras_maskdef.papers.report_rows import is_quoted, ordered, title
from keras_maskdef.papers.result_table import ResultTable
from keras_maskdef.reporting.figures import (
    INK,
    LINES,
    MARKERS,
    RULE,
    finish,
    new_figure,
)
from keras_maskdef.results import Report, Score

EARLY, REPEATS, PANELS = "early-exit.json", 5, 3


@dataclass(frozen=True, kw_only=True)
class VoteCurve(AttackTable):
    """Accuracy and images per second of a vote of one view, two, and so on.

    Args:
        timed: Images that `predict` is timed on, with and without early exit.
    """

    timed: int = 500

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """Runs the table, and measures the speed-up of early exit."""
        result = super().run(models, store, start)

        def measured() -> dict[str, Any]:
            images = models.data(self.dataset, "held out", self.timed).images
            return {
                name: _early_exit(defence.build(models), images)
                for name, defence in self.defences.items()
            }

        return {**result, "early_exit": store.kept(EARLY, measured)}

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """One row for each attack and number of views."""
        cells: list[tuple[str, ...]] = []
        bold: set[int] = set()
        for row in ordered(Report.from_dict(result).rows):
            columns = {name: _percentages(row.scores[name]) for name in self.defences}
            by_views = [*_by_views(title(row), columns)]
            if is_quoted(row):
                bold |= {len(cells) + number for number in range(len(by_views))}
            cells += by_views
        speeds = {
            name: [
                f"{speed:.0f}" for speed in result["speed"][name]["images_per_second"]
            ]
            for name in self.defences
        }
        cells += _by_views("images a second", speeds)
        notes = [
            f"Accuracy in % of all {result['settings']['images']:,} test images by the",
            "number of views that vote, with its 95 % interval. The adaptive attack",
            "targets the whole vote; the worst case is given for the whole vote only.",
            f"Images a second in one process, the fastest of {REPEATS} times. Early",
            "exit gives the same labels with fewer views:",
        ]
        for name, saved in result["early_exit"].items():
            notes.append(
                f"{name} {saved['views']:.2f} of {saved['votes']} views, "
                f"{saved['speed-up']:.2f} times as fast."
            )
        return ResultTable(("attack", *self.defences), cells, notes, frozenset(bold))

    def plot(self, result: Mapping[str, Any], path: Path) -> bool:
        """Draws a panel for each attack, and a last one for speed."""
        report = Report.from_dict(result)
        rows = [row for row in ordered(report.rows) if row.threat_model != "union"]
        down = -(-(len(rows) + 1) // PANELS)
        figure, axes = new_figure(down, PANELS, (3.3 * PANELS, 2.8 * down))
        panels = axes.flat
        for axis, row in zip(panels, rows, strict=False):
            curves = {
                name: [100 * share for share in score.votes or ()]
                for name in self.defences
                if (score := row.scores[name])
            }
            _draw(axis, curves, title(row), "accuracy in %")
        speeds = {
            name: result["speed"][name]["images_per_second"] for name in self.defences
        }
        _draw(panels[len(rows)], speeds, "speed", "images a second")
        for axis in panels[len(rows) + 1 :]:
            axis.axis("off")
        figure.tight_layout()
        finish(figure, panels[0], path)
        return True


def _percentages(score: Score | None) -> list[str]:
    """Accuracies by number of views; a single one for the worst case."""
    if score is None:
        return []
    if not score.votes:
        return [str(score)]
    return [str(Score(share, score.images)) for share in score.votes]


def _by_views(
    attack: str, columns: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, ...]]:
    """Yields a row for each number of views; one row if there is one figure."""
    longest = max(map(len, columns.values()))
    for views in range(longest):
        count = f"{views + 1} view{'s' * (views > 0)}"
        heading = attack if longest == 1 else f"{attack}, {count}"
        cells = (
            figures[views] if views < len(figures) else "-"
            for figures in columns.values()
        )
        yield heading, *cells


def _draw(axis: Any, curves: Mapping[str, Any], heading: str, label: str) -> None:
    for number, (name, values) in enumerate(curves.items()):
        style = {"color": LINES[number % len(LINES)], "ms": 4, "label": name}
        marker = MARKERS[number % len(MARKERS)]
        axis.plot(range(1, len(values) + 1), values, marker=marker, **style)
    axis.set_title(heading, color=INK, fontsize=10)
    axis.set_xlabel("views", color=INK)
    axis.set_ylabel(label, color=INK)
    axis.set_ylim(bottom=0)
    axis.grid(color=RULE, linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.get_major_locator().set_params(integer=True)


def _early_exit(vote: Any, images: Any) -> dict[str, float]:
    """Mean number of views with early exit, and its speed-up."""
    seconds = {}
    for early in (True, False):
        predict_all = partial(predict, vote, images, early, batch_size=250, seed=0)
        predict_all()  # compiles
        seconds[early] = fastest(predict_all, REPEATS)
    _, views = predict(vote, images, True, batch_size=250, seed=0, return_views=True)
    return {
        "votes": vote.votes,
        "views": float(views.mean()),
        "speed-up": seconds[False] / seconds[True],
    }
