"""`maskdef recipe`: trains and measures a paper's experiment."""

import argparse
from pathlib import Path
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a name that `maskdef recipes` lists")
    text = "the paper's setting, or a reduced one for a machine without a GPU"
    parser.add_argument("--scale", choices=("paper", "cpu"), default="paper", help=text)
    text = "train its models without measuring them"
    parser.add_argument("--train-only", action="store_true", help=text)
    text = "folder for trained models (default: inside ~/.keras)"
    parser.add_argument("--cache", type=Path, help=text)
    text = (
        "Keras' dtype policy for training classifiers, such as mixed_float16 on a GPU; "
        "each policy has its own trained models"
    )
    parser.add_argument("--precision", default="float32", help=text)
    parser.add_argument("--output", type=Path, help="folder to keep the run in")
    parser.add_argument("--data-dir", help="folder of the data sets")
    parser.add_argument(
        "--download", action="store_true", help="download missing data sets"
    )


def run(options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.papers.catalogue import find

    recipe = find(options.name)
    if options.train_only:
        _train(recipe, options, console)
    else:
        _measure(recipe, options, console)


def _train(recipe: Any, options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.core.progress import progress_bars, say
    from keras_maskdef.papers.run_recipe import train_recipe

    if options.output is not None:
        raise ValueError(
            "`--output` must be left out with `--train-only`: models are kept in the "
            f"folder of `--cache`. Received: output={str(options.output)!r}"
        )
    with progress_bars(console) as start:
        folders = train_recipe(recipe.at(options.scale), _models(options, start))
    for folder in folders:
        say(console, f"trained: {folder}")


def _measure(recipe: Any, options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.core.progress import progress_bars, say
    from keras_maskdef.papers.run_recipe import run_recipe
    from maskdef.output import without_robustness_warnings

    console.print(f"{recipe.title}, at --scale {options.scale}")
    if options.scale == "cpu":
        for cut in recipe.cuts():
            console.print(f"  {cut}")
    with without_robustness_warnings(), progress_bars(console) as start:
        models = _models(options, start)
        done = run_recipe(recipe, options.scale, models, options.output, start)
    console.print(done.table)
    for path in done.written:
        say(console, f"wrote {path}")


def _models(options: argparse.Namespace, start: Any) -> Any:
    from keras_maskdef import datasets
    from keras_maskdef.core.extras import require
    from keras_maskdef.datasets.sources import held_out
    from keras_maskdef.papers.model_cache import ModelCache

    def load(dataset: str, part: str) -> Any:
        split = "train" if part == "train" else held_out(datasets.find(dataset))
        return datasets.load(dataset, split, options.data_dir, options.download)

    require("matplotlib", "plots")  # learning curves: fails now, not after training
    return ModelCache(load, options.cache, start, options.precision)
