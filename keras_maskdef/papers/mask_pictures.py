"""A recipe for pictures of masks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.papers.recipe import Recipe
from keras_maskdef.papers.result_table import ResultTable
from keras_maskdef.reporting.pictures import plot_masks


@dataclass(frozen=True, kw_only=True)
class MaskPictures(Recipe):
    """The masks of several alternations on the same images.

    Args:
        alternations: Alternations by name; one picture for each.
    """

    alternations: Mapping[str, Alternation] = field(hash=False)

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """Draws the pictures; returns density and accuracy after the last epoch."""
        data = models.data(self.dataset, "held out")
        _, first = np.unique(data.labels, return_index=True)
        shown = data.images[first[: self.images]]
        figures = {}
        for name, alternation in self.alternations.items():
            trained = models(alternation)
            picture = store.path / f"{name.replace(' ', '-')}.png"
            plot_masks(trained.masker, alternation.filters(), shown, picture)
            last = {key: values[-1] for key, values in trained.history.items()}
            figures[name] = {
                "density": last["masker_density"],
                "accuracy": last["val_defended_accuracy"],
                "picture": picture.name,
            }
        return {"masks": figures}

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """Density of the mask and accuracy of the defended model, by alternation."""
        rows = [
            (name, f"{figures['density']:.3f}", f"{100 * figures['accuracy']:.1f}")
            for name, figures in result["masks"].items()
        ]
        note = "On held-out images: density of the mask, and defended accuracy in %."
        return ResultTable(("alternation", "density", "accuracy"), rows, [note])
