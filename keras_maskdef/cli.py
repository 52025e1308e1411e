"""The `maskdef` command: argument parsing and printing."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from keras_maskdef import (
    _certification_commands,
    _evaluation_commands,
    _recipe_commands,
    _training_commands,
)
from keras_maskdef._argument_types import (
    count,
    epsilon,
)
from keras_maskdef._version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status, 2 where the user can mend it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.typed = {text.partition("=")[0] for text in arguments}
    logging.getLogger("tensorflow").addFilter(_is_no_false_alarm)
    # Names of models and files are printed as they are.
    console = Console(markup=False, emoji=False)
    try:
        options.run(options, console)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"maskdef: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskdef: stopped", file=sys.stderr)
        return 130
    return 0


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Five Keras models, each traced once, are to TensorFlow one that is retraced."""
    return "triggered tf.function retracing" not in record.getMessage()


def _demo(options: argparse.Namespace, console: Console) -> None:
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes.demo import run_demo, save_demo

    training, test = _load(options, console), _load_test(options, console)
    with _evaluation_commands.said_in_the_report(), progress_bars(console) as start:
        demo = run_demo(
            training,
            test,
            epsilon=options.epsilon,
            epochs=options.epochs,
            seed=options.seed,
            start=start,
        )
    console.print(demo.report)
    for path in save_demo(demo, options.output):
        console.print(f"wrote {path}")


def _train(options: argparse.Namespace, console: Console) -> None:
    def load(held_out: bool = False) -> Any:
        part = _held_out(options.dataset) if held_out else "train"
        return _load(options, console, part)

    _recipe_commands.check(options)
    if options.recipe:
        _recipe_commands.train(options, console, _load_any(options))
    else:
        _training_commands.train(options, console, load)


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    _recipe_commands.check(options)
    if options.recipe:
        _recipe_commands.evaluate(options, console, _load_any(options))
    else:
        _evaluation_commands.evaluate(options, console, _load_test(options, console))


def _certify(options: argparse.Namespace, console: Console) -> None:
    _certification_commands.certify(options, console, _load_test(options, console))


def _load(options: argparse.Namespace, console: Console, split: str = "train") -> Any:
    from keras_maskdef import datasets

    with console.status(Text(f"reading {options.dataset}, {split}")):
        return datasets.load(options.dataset, split, options.data_dir, options.download)


def _load_test(options: argparse.Namespace, console: Console) -> Any:
    part = f"{_held_out(options.dataset)}[:{options.images}]"
    return _load(options, console, part)


def _load_any(options: argparse.Namespace) -> Any:
    """For recipes, which name their data sets themselves."""
    from keras_maskdef import datasets

    def load(dataset: str, part: str) -> Any:
        split = "train" if part == "train" else _held_out(dataset)
        return datasets.load(dataset, split, options.data_dir, options.download)

    return load


def _held_out(dataset: str) -> str:
    # Tiny-ImageNet's own test images have no labels.
    return "validation" if dataset.startswith("tiny_imagenet") else "test"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskdef", description="Mask-based adversarial defence for Keras."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = _command(commands, "demo", _demo, "attack digits, and win them back")
    _images(demo)
    demo.add_argument("--epochs", type=count, default=40, help="under masks")
    demo.add_argument("--output", type=Path, default=Path("demo-output"))

    train = _command(commands, "train", _train, "train a defended classifier")
    _training_commands.add_train(train)
    _recipe_commands.add_options(train)

    evaluate = _command(commands, "evaluate", _evaluate, "attack saved models")
    _evaluation_commands.add_evaluate(evaluate)
    _recipe_commands.add_options(evaluate)
    certify = _command(
        commands, "certify", _certify, "prove what no change of a few cells can do"
    )
    _certification_commands.add_certify(certify)
    for name, run, add, summary in (
        (
            "recipes",
            _recipe_commands.recipes,
            _recipe_commands.add_recipes,
            "list the papers' experiments",
        ),
        (
            "merge",
            _evaluation_commands.merge,
            _evaluation_commands.add_merge,
            "put the parts of an evaluation together",
        ),
        (
            "report",
            _evaluation_commands.report,
            _evaluation_commands.add_report,
            "make a page and pictures of an evaluation",
        ),
    ):
        add(_bare_command(commands, name, run, summary))
    return parser


def _bare_command(commands: Any, name: str, run: Any, summary: str) -> Any:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser, command=name)
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> Any:
    """A command on the images of a data set."""
    parser = _bare_command(commands, name, run, summary)
    parser.add_argument("--dataset", default="sample", help="a name of datasets")
    parser.add_argument("--data-dir", help="where the data set is")
    parser.add_argument("--download", action="store_true", help="fetch what is missing")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=count, default=200, help="to attack")
    parser.add_argument("--epsilon", type=epsilon, default=0.15, help="Linf, in [0, 1]")
