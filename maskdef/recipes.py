"""`maskdef recipes`: lists or describes the papers' experiments."""

import argparse
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="recipe to describe")


def run(options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.papers.catalogue import find

    if options.name is None:
        _list(console)
    else:
        _describe(find(options.name), console)


def _list(console: Any) -> None:
    from rich.table import Table

    from keras_maskdef.papers.catalogue import RECIPES

    table = Table(
        caption="Time: with --scale cpu on two cores, trainings included; recipes "
        "share trained models.",
        caption_justify="left",
        caption_style="not dim",
    )
    for heading in ("recipe", "what", "time"):
        table.add_column(heading, overflow="fold")
    for recipe in RECIPES.values():
        note = "" if recipe.not_run is None else " (not run here)"
        table.add_row(recipe.name, recipe.title + note, _time(recipe.minutes))
    console.print(table)


def _describe(recipe: Any, console: Any) -> None:
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


def _time(minutes: int) -> str:
    hours = minutes / 60
    return f"{minutes} min" if hours < 2 else f"{hours:.0f} h"
