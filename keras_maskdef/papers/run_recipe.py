"""Runs a recipe: trains its models and measures its figures."""

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
    """The result of a run of a recipe.

    Args:
        results: Plain data, as in `results.json`.
        table: Its figures beside the paper's.
        written: The written files.
    """

    results: dict[str, Any]
    table: ResultTable
    written: tuple[Path, ...]


def train_recipe(recipe: Recipe, models: ModelCache) -> list[Path]:
    """Trains the models of a recipe that are not trained yet; returns their folders.

    Args:
        recipe: The recipe, at its scale.
        models: The cache of trained models.
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
    """Runs a recipe; finished trainings and measurements are reused.

    Args:
        recipe: The recipe at `scale="paper"`.
        scale: A name of `recipe.SCALES`.
        models: The cache of trained models.
        folder: Where to keep the run; a stopped run is resumed there. By default a
            folder beside the trained models.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.

    Returns:
        The run, with its figures.

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
    result = scaled.run(models, store, start)
    results = {
        **config,
        "title": recipe.title,
        "cuts": recipe.cuts() if scale == "cpu" else [],
        "trained": [_trained(models, setting) for setting in scaled.trainings()],
        "versions": versions(),
        "result": result,
    }
    store.write_json(RESULTS, results)
    written = [folder / RESULTS]
    if scaled.plot(result, folder / PICTURE):
        written.append(folder / PICTURE)
    return RecipeRun(results, scaled.table(result), tuple(written))


def published(path: Path, recipes: dict[str, Recipe]) -> tuple[Recipe, dict[str, Any]]:
    """Reads a `results.json`: its recipe, at its scale, and its results."""
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
