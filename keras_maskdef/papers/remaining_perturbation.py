"""A recipe that measures accuracy when part of a perturbation is removed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.attacks import prepare
from keras_maskdef.core.intervals import wilson
from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.papers.attack_table import first_sizes
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.paper_tables import TABLES, PaperRow, PaperTable
from keras_maskdef.papers.recipe import Recipe
from keras_maskdef.papers.result_table import ResultTable
from keras_maskdef.reporting.figures import INK, LINES, RULE, finish, new_figure

BATCH = 250


@dataclass(frozen=True, kw_only=True)
class RemainingPerturbation(Recipe):
    """A classifier on adversarial images with a random part of the perturbation undone.

    There is no defence. A share of the perturbed pixels is kept, with all channels of a
    pixel together; a larger share includes the pixels of a smaller one.

    Args:
        network: The classifier.
        table_name: A key of `TABLES`, whose attacks are run with their first epsilon.
        shares: Shares of the pixels that stay perturbed, in [0, 1].
        options: By name of an attack, options in place of the table's.
    """

    network: Network
    table_name: str
    shares: tuple[float, ...] = tuple(step / 10 for step in range(11))
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def paper(self) -> PaperTable:
        """The table of the attacks."""
        return TABLES[self.table_name]

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """Accuracy by attack and share, of images classified correctly before."""
        model = models(self.network)
        images, labels, _ = models.data(self.dataset, "held out", self.images)
        right = _right(model, images, labels)
        images, labels = images[right], labels[right]
        attacks = {}
        for row in first_sizes(self.paper.rows):
            file = f"{row.attack}-{row.norm}.json"
            name = f"{row.attack} {row.norm} {row.epsilon:g}"
            measure = partial(self._accuracies, model, row, images, labels, start)
            accuracies = store.kept(file, measure)
            attacks[name] = {
                "accuracy": accuracies,
                "interval_95": [wilson(share, len(images)) for share in accuracies],
            }
        return {
            "images": len(right),
            "right_before": int(right.sum()),
            "clean": float(right.mean()),
            "shares": list(self.shares),
            "attacks": attacks,
        }

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """One row for each attack, one column for each share."""
        headings = ("attack", *(f"{share:.0%}" for share in result["shares"]))
        rows = [
            (name, *(f"{100 * accuracy:.1f}" for accuracy in figures["accuracy"]))
            for name, figures in result["attacks"].items()
        ]
        note = (
            f"Accuracy in % of the {result['right_before']} of {result['images']} test "
            "images that the network classifies correctly without an attack, by the "
            "share of the perturbed pixels that is kept (the paper removes single "
            "values)."
        )
        return ResultTable(headings, rows, [note])

    def plot(self, result: Mapping[str, Any], path: Path) -> bool:
        """Draws a line for each attack, as in the paper's figure."""
        figure, axes = new_figure(1, 1, (6.4, 4.2))
        axis = axes[0, 0]
        shares = [100 * share for share in result["shares"]]
        for number, (name, figures) in enumerate(result["attacks"].items()):
            style = {
                "color": LINES[number % len(LINES)],
                "marker": "os^Dv"[number // 6],
            }
            accuracy = [100 * fraction for fraction in figures["accuracy"]]
            axis.plot(shares, accuracy, label=name, ms=4, **style)
        axis.set_xlabel("share of the perturbation left, in %", color=INK)
        axis.set_ylabel("accuracy in %", color=INK)
        axis.set_ylim(0, 102)
        axis.grid(color=RULE, linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        finish(figure, axis, path)
        return True

    def _accuracies(
        self, model: Any, row: PaperRow, images: Any, labels: Any, start: Any
    ) -> list[float]:
        options = {**row.options, **self.options.get(row.attack, {})}
        attack = prepare(row.attack, model, row.norm, row.library, **options)
        advance = start(f"{row.attack} {row.norm}", len(images))
        right = np.zeros((len(self.shares), len(images)), bool)
        for number, begin in enumerate(range(0, len(images), BATCH)):
            where = slice(begin, begin + BATCH)
            clean, wanted = images[where], labels[where]
            seed = self.seed + number
            adversarial = np.asarray(attack(clean, wanted, [row.epsilon], seed)[0])
            # One order of pixels for all shares: a larger share includes a smaller.
            order = np.random.default_rng(seed).random((*clean.shape[:3], 1))
            for place, share in enumerate(self.shares):
                part = np.where(order < share, adversarial, clean)
                right[place, where] = _right(model, part, wanted)
            advance(len(clean))
        return [float(accuracy) for accuracy in right.mean(axis=1)]


def _right(model: Any, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return model.predict(images, batch_size=BATCH, verbose=0).argmax(-1) == labels
