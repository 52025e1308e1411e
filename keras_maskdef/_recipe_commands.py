"""`maskdef recipes` and `--recipe`: argument parsing and printing."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_maskdef._progress import say

# All that goes with `--recipe`; what else there is, the recipe says.
_WITH_RECIPE = {"recipe", "scale", "cache", "precision", "data_dir", "download"}
_INNER = {"run", "parser", "command", "typed"}


def recipes(options: argparse.Namespace, console: Console) -> None:
    """Lists the recipes, or says all of one."""
    from keras_maskdef.recipes.catalogue import RECIPES, find

    if options.name is not None:
        _describe(find(options.name), console)
        return
    table = Table(
        caption="Time: with --scale cpu on two cores, trainings included; what several "
        "recipes need is trained once.",
        caption_justify="left",
        caption_style="not dim",
    )
    for heading in ("recipe", "what", "time"):
        table.add_column(heading, overflow="fold")
    for recipe in RECIPES.values():
        note = "" if recipe.not_run is None else " (not run here)"
        table.add_row(recipe.name, recipe.title + note, _time(recipe.minutes))
    console.print(table)


def _describe(recipe: Any, console: Console) -> None:
    console.print(f"{recipe.name}: {recipe.title}")
    if recipe.not_run is not None:
        console.print(f"not run here: {recipe.not_run}")
    for scale in ("paper", "cpu"):
        console.print(f"--scale {scale} trains")
        for setting in recipe.at(scale).trainings():
            console.print(f"  {setting.title}, {setting.epochs} epochs")
    console.print(f"--scale cpu, about {_time(recipe.minutes)} on two cores, cuts")
    for cut in recipe.cuts():
        console.print(f"  {cut}")


def train(options: argparse.Namespace, console: Console, load: Callable) -> None:
    """Trains all that a recipe needs."""
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes.catalogue import find
    from keras_maskdef.recipes.run_recipe import train_recipe

    recipe = find(options.recipe).at(options.scale)
    with progress_bars(console) as start:
        folders = train_recipe(recipe, _models(options, load, start))
    for folder in folders:
        say(console, f"trained: {folder}")


def evaluate(options: argparse.Namespace, console: Console, load: Callable) -> None:
    """Runs a recipe, and prints its table beside the paper's."""
    from keras_maskdef._evaluation_commands import said_in_the_report
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes.catalogue import find
    from keras_maskdef.recipes.run_recipe import run_recipe

    recipe = find(options.recipe)
    console.print(f"{recipe.title}, at --scale {options.scale}")
    if options.scale == "cpu":
        for cut in recipe.cuts():
            console.print(f"  {cut}")
    with said_in_the_report(), progress_bars(console) as start:
        models = _models(options, load, start)
        run = run_recipe(recipe, options.scale, models, options.output, start)
    console.print(run.table)
    for path in run.written:
        say(console, f"wrote {path}")


def add_recipes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="to say all of one")


def add_options(parser: Any) -> None:
    """The options of a recipe, for `train` and for `evaluate`."""
    group = parser.add_argument_group("a paper's experiment, in place of all others")
    group.add_argument("--recipe", metavar="NAME", help="one of `maskdef recipes`")
    text = "the paper's setting, or one that is cut to a machine without a GPU"
    group.add_argument("--scale", choices=("paper", "cpu"), default="paper", help=text)
    text = "folder for trained models; below ~/.keras if none"
    group.add_argument("--cache", type=Path, help=text)
    text = (
        "Keras' dtype policy of classifiers in training: mixed_float16 on a GPU; a "
        "model of each is kept, so evaluate with that of the training"
    )
    group.add_argument("--precision", default="float32", help=text)


def check(options: argparse.Namespace) -> None:
    """Refuses options that the recipe answers itself, and its own without it.

    Raises:
        ValueError: For such an option.
    """
    given = {
        name
        for name, value in vars(options).items()
        if name not in _INNER
        and (value != options.parser.get_default(name) or _flag(name) in options.typed)
    }
    allowed = _WITH_RECIPE | ({"output"} if options.command == "evaluate" else set())
    wrong = given - allowed if options.recipe else given & _WITH_RECIPE - _SHARED
    for name in sorted(wrong):
        flag = "`models`" if name == "models" else f"`{_flag(name)}`"
        what = "be left out with" if options.recipe else "come with"
        raise ValueError(
            f"{flag} must {what} `--recipe`. Received: recipe={options.recipe!r}, "
            f"{name}={getattr(options, name)}"
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


_SHARED = {"data_dir", "download"}


def _models(options: argparse.Namespace, load: Callable, start: Any) -> Any:
    from keras_maskdef._extra import require
    from keras_maskdef.recipes.model_cache import ModelCache

    require("matplotlib", "plots")  # learning curves: fails now, not after training
    return ModelCache(load, options.cache, start, options.precision)


def _time(minutes: int) -> str:
    hours = minutes / 60
    return f"{minutes} min" if hours < 2 else f"{hours:.0f} h"
