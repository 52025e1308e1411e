"""A recipe for the time that defences cost."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.evaluation.defence import as_defences
from keras_maskdef.papers._sfm_figures import TIME_COST
from keras_maskdef.papers.recipe import Recipe, settings_of
from keras_maskdef.papers.result_table import ResultTable

TIMES, REPEATS = "times.json", 3


@dataclass(frozen=True, kw_only=True)
class TimeCost(Recipe):
    """Seconds to train each defence, and to classify the test images with it.

    Args:
        defences: The timed defences, by heading of their row.
        beside: By heading, the method in the paper's Table 8.
    """

    defences: Mapping[str, Any] = field(hash=False)
    beside: Mapping[str, str] = field(default_factory=dict, hash=False)

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """By defence, seconds of its trainings and of one prediction of all images.

        Trainings may have been stopped or shared the machine, so every epoch counts as
        the fastest epoch of its training.
        """
        built = {name: setting.build(models) for name, setting in self.defences.items()}
        images = models.data(self.dataset, "held out", self.images).images

        def times() -> dict[str, float]:
            advance = start("timing", len(built) * (REPEATS + 1))
            medians = {}
            for name, defence in as_defences(built).items():
                defence.outputs(images[:500])  # compiles
                advance(1)
                medians[name] = statistics.median(
                    _seconds(defence, images, advance) for _ in range(REPEATS)
                )
            return medians

        return {
            "images": len(images),
            "training_seconds": {
                name: sum(_training(models.record(s)) for s in settings_of(setting))
                for name, setting in self.defences.items()
            },
            "defending_seconds": store.kept(TIMES, times),
        }

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """Seconds, and their ratio to the first defence's."""
        kinds = {
            "training": result["training_seconds"],
            "defending": result["defending_seconds"],
        }
        rows = []
        for name in result["defending_seconds"]:
            cells = [name]
            for seconds in kinds.values():
                first = next(iter(seconds.values()))
                cells.append(f"{seconds[name]:.1f} s ({seconds[name] / first:.2f})")
            paper = TIME_COST.get(self.beside.get(name, ""))
            cells += (
                ["-", "-"] if paper is None else [f"{minutes} min" for minutes in paper]
            )
            rows.append(cells)
        headings = ("defence", *kinds, "paper: training", "paper: defending")
        notes = [
            f"Defending: {result['images']:,} test images, the median of {REPEATS}.",
            "Training: the number of epochs times the seconds of the fastest epoch.",
            f"In brackets: ratio to {rows[0][0]}.",
        ]
        return ResultTable(headings, rows, notes)


def _training(record: Mapping[str, Any]) -> float:
    seconds = record["history"]["seconds"]
    return len(seconds) * min(seconds)


def _seconds(defence: Any, images: Any, advance: Any) -> float:
    began = time.perf_counter()
    defence.outputs(images)
    advance(1)
    return time.perf_counter() - began
