"""A recipe from its data to its figures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_maskdef.core.fingerprint import versions
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.core.run_folder import RESULTS, RunFolder
from keras_maskdef.papers.model_cache import ModelCache
from keras_maskdef.papers.recipe import Recipe
from keras_maskdef.papers.result_table import ResultTable

PICTURE = "figures.png"


@dataclass(frozen=True)
class RecipeRun:
    """What a run of a recipe gave.

    Args:
        results: Plain data, as `results.json` holds it.
        table: Its figures beside the paper's.
        written: The files.
    """

    results: dict[str, Any]
    table: ResultTable
    written: tuple[Path, ...]


def train_recipe(recipe: Recipe, models: ModelCache) -> list[Path]:
    """Trains what a recipe needs and is not trained yet; returns the folders.

    Args:
        recipe: The recipe, at its scale.
        models: Where trained models are kept.
    """
    settings = recipe.trainings()
    for setting in settings:
        models(setting)
    return [models.folder(setting) for setting in settings]


def run_recipe(
    recipe: Recipe,
    scale: str,
    models: ModelCache,
    folder: Path | None = None,
    start: Start = silent,
) -> RecipeRun:
    """Trains what is not trained yet, and measures what is not measured yet.

    Args:
        recipe: The recipe at `scale="paper"`.
        scale: A name of `recipe.SCALES`.
        models: Where trained models are kept.
        folder: Where to keep the work; a stopped run goes on there. One of its own
            beside the trained models by default.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.

    Returns:
        The figures.

    Raises:
        ValueError: For an unknown scale, or a folder that holds another run.
    """
    scaled = recipe.at(scale)
    if folder is None:
        folder = models.path / "runs" / f"{recipe.name.replace('/', '-')}-{scale}"
    config = {"recipe": recipe.name, "scale": scale, "setting": scaled.plain()}
    store = RunFolder(folder, config, resume=True)
    scaled.check()
    train_recipe(scaled, models)
    found = scaled.run(models, store, start)
    results = {
        **config,
        "title": recipe.title,
        "cuts": recipe.cuts() if scale == "cpu" else [],
        "trained": [_trained(models, setting) for setting in scaled.trainings()],
        "versions": versions(),
        "result": found,
    }
    store.write_json(RESULTS, results)
    written = [folder / RESULTS]
    if scaled.plot(found, folder / PICTURE):
        written.append(folder / PICTURE)
    return RecipeRun(results, scaled.table(found), tuple(written))


def published(path: Path, recipes: dict[str, Recipe]) -> tuple[Recipe, dict[str, Any]]:
    """The recipe, at its scale, and the results of a `results.json`."""
    results = json.loads(path.read_text())
    return recipes[results["recipe"]].at(results["scale"]), results


def _trained(models: ModelCache, setting: Any) -> dict[str, Any]:
    record = models.record(setting)
    history = record["history"]
    return {
        "what": setting.title,
        "folder": models.folder(setting).name,
        "epochs": len(history["loss"]),
        "seconds": round(record["seconds"]),
        "precision": record["precision"],
        "last": {name: values[-1] for name, values in history.items()},
    }
