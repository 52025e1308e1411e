"""Accuracy and speed by the number of votes, as data."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_maskdef import predict
from keras_maskdef._figures import INK, LINES, MARKERS, RULE, finish, new_figure
from keras_maskdef._run_folder import RunFolder, read_json
from keras_maskdef.recipes.attack_table import AttackTable
from keras_maskdef.recipes.report_rows import Row, title
from keras_maskdef.recipes.result_table import ResultTable

EARLY, REPEATS = "early-exit.json", 3


@dataclass(frozen=True, kw_only=True)
class VoteCurve(AttackTable):
    """Votes of one view, two, and so on: accuracy and images a second.

    Args:
        timed: Images that `predict` is timed on, with and without early exit.
    """

    timed: int = 500

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """As of every table, with what leaving out views that cannot matter saves."""
        found = super().run(models, store, start)
        if not (store.path / EARLY).exists():
            images = models.data(self.dataset, "held out", self.timed).images
            measured = {
                name: _early_exit(each.build(models), images)
                for name, each in self.defences.items()
            }
            store.write_json(EARLY, measured)
        return {**found, "early_exit": read_json(store.path / EARLY)}

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """One row for each number of views."""
        rows = self._rows(result)
        headings = ["views"]
        for name in self.defences:
            headings += [f"{name}: {title(row)}" for row in rows]
            headings.append(f"{name}: images a second")
        longest = max(len(each) for _, _, each, _ in self._curves(result))
        cells = [[str(views + 1)] for views in range(longest)]
        for name in self.defences:
            for row in rows:
                shares = row["scores"][name]["votes"]
                for views, line in enumerate(cells):
                    known = views < len(shares)
                    line.append(f"{100 * shares[views]:.1f}" if known else "-")
            speeds = result["speed"][name]["images_per_second"]
            for views, line in enumerate(cells):
                line.append(f"{speeds[views]:.0f}" if views < len(speeds) else "-")
        notes = [
            f"Accuracy in % of {result['settings']['images']:,} test images; images a",
            "second in one process.",
            "Early exit, the same labels with fewer views:",
        ]
        for name, found in result["early_exit"].items():
            notes.append(
                f"{name} {found['views']:.2f} of {found['votes']} views, "
                f"{found['speed-up']:.2f} times as fast."
            )
        return ResultTable(tuple(headings), cells, notes)

    def plot(self, result: Mapping[str, Any], path: Path) -> bool:
        """Accuracy on the left, speed on the right."""
        figure, axes = new_figure(1, 2, (10, 4.2))
        curves = self._curves(result)
        for number, (name, row, shares, speeds) in enumerate(curves):
            colour = LINES[[*self.defences].index(name) % len(LINES)]
            clean = row["threat_model"] == "none"
            views = range(1, len(shares) + 1)
            style = {"color": colour, "ls": "-" if clean else "--", "ms": 4}
            marker = MARKERS[number % len(MARKERS)]
            accuracy = [100 * share for share in shares]
            axes[0, 0].plot(
                views, accuracy, marker=marker, label=f"{name}, {title(row)}", **style
            )
            if clean:
                axes[0, 1].plot(
                    range(1, len(speeds) + 1), speeds, marker=marker, **style
                )
        for axis, label in zip(
            axes[0], ("accuracy in %", "images a second"), strict=True
        ):
            axis.set_xlabel("views", color=INK)
            axis.set_ylabel(label, color=INK)
            axis.grid(color=RULE, linewidth=0.8)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0, 1].set_ylim(bottom=0)
        finish(figure, axes[0, 0], path)
        return True

    def _rows(self, result: Mapping[str, Any]) -> list[Row]:
        return [row for row in result["rows"] if row["threat_model"] in _SHOWN]

    def _curves(self, result: Mapping[str, Any]) -> list[tuple[str, Row, Any, Any]]:
        return [
            (
                name,
                row,
                row["scores"][name]["votes"],
                result["speed"][name]["images_per_second"],
            )
            for name in self.defences
            for row in self._rows(result)
        ]


_SHOWN = ("none", "classifier")


def _early_exit(vote: Any, images: Any) -> dict[str, float]:
    """Views taken on average, and how much faster that is."""
    seconds = {}
    for early in (True, False):
        predict(vote, images, early, batch_size=250, seed=0)  # compiled
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            predict(vote, images, early, batch_size=250, seed=0)
            times.append(time.perf_counter() - began)
        seconds[early] = statistics.median(times)
    _, views = predict(vote, images, True, batch_size=250, seed=0, return_views=True)
    return {
        "votes": vote.votes,
        "views": float(views.mean()),
        "speed-up": seconds[False] / seconds[True],
    }
