"""Pictures of masks, as data."""

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
    """The masks that several alternations lead to, on the same images.

    Args:
        alternations: By name; each gives one picture.
    """

    alternations: Mapping[str, Alternation] = field(hash=False)

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """Draws the pictures; by name, density and accuracy after the last epoch."""
        data = models.data(self.dataset, "held out")
        _, first = np.unique(data.labels, return_index=True)
        shown = data.images[first[: self.images]]
        figures = {}
        for name, alternation in self.alternations.items():
            made = models(alternation)
            picture = store.path / f"{name.replace(' ', '-')}.png"
            plot_masks(made.masker, alternation.filters(), shown, picture)
            last = {key: values[-1] for key, values in made.history.items()}
            figures[name] = {
                "density": last["masker_density"],
                "accuracy": last["val_defended_accuracy"],
                "picture": picture.name,
            }
        return {"masks": figures}

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """Density of the mask and accuracy behind it, by alternation."""
        rows = [
            (name, f"{found['density']:.3f}", f"{100 * found['accuracy']:.1f}")
            for name, found in result["masks"].items()
        ]
        note = "Density of the mask on held-out images, and accuracy in % behind it."
        return ResultTable(("alternation", "density", "accuracy"), rows, [note])
