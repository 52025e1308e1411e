"""The `maskdef` command: argument parsing and printing."""

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import indent
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
from keras_maskdef._data_options import add_data
from keras_maskdef._progress import say
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
        with _notes_printed(console):
            options.run(options, console)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"maskdef: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskdef: stopped", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _notes_printed(console: Console) -> Iterator[None]:
    """What was done to images is a line, and no warning with a place in the source."""
    from keras_maskdef.datasets import ImageDataWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", ImageDataWarning)
        shown = warnings.showwarning

        def show(message: Any, category: Any, *where: Any, **other: Any) -> None:
            if issubclass(category, ImageDataWarning):
                say(console, f"note: {message}")
            else:
                shown(message, category, *where, **other)

        warnings.showwarning = show
        yield


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Five Keras models, each traced once, are to TensorFlow one that is retraced."""
    return "triggered tf.function retracing" not in record.getMessage()


def _demo(options: argparse.Namespace, console: Console) -> None:
    from keras_maskdef import datasets
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.datasets._sources import first, held_out, to_train_on
    from keras_maskdef.recipes.demo import run_demo, save_demo

    source = datasets.find(options.dataset, options.data_dir, options.download)
    training = _load(options, console, to_train_on(source))
    test = _load(options, console, first(source, held_out(source), options.images))
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
        say(console, f"wrote {path}")


def _train(options: argparse.Namespace, console: Console) -> None:
    _recipe_commands.check(options)
    if options.recipe:
        _recipe_commands.train(options, console, _load_any(options))
    else:
        _training_commands.train(options, console, partial(_load, options, console))


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    _recipe_commands.check(options)
    if options.recipe:
        _recipe_commands.evaluate(options, console, _load_any(options))
    else:
        _evaluation_commands.evaluate(options, console)


def _load(options: argparse.Namespace, console: Console, split: str) -> Any:
    """Images on [0, 1]."""
    from keras_maskdef import datasets

    size = getattr(options, "image_size", None)
    with console.status(Text(f"reading {options.dataset}, {split}")):
        return datasets.load(
            options.dataset,
            split,
            options.data_dir,
            options.download,
            image_size=size,
        )


def _load_any(options: argparse.Namespace) -> Any:
    """For recipes, which name their data sets themselves."""
    from keras_maskdef import datasets
    from keras_maskdef.datasets._sources import held_out

    def load(dataset: str, part: str) -> Any:
        split = "train" if part == "train" else held_out(datasets.find(dataset))
        return datasets.load(dataset, split, options.data_dir, options.download)

    return load


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
        commands,
        "certify",
        _certification_commands.certify,
        "prove what no change of a few cells can do",
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


_EXAMPLES = {
    "demo": "maskdef demo --output demo-output",
    "train": """\
maskdef train --output digits.keras
maskdef train --defence certified --output proven.keras
maskdef train --dataset photographs --image-size 64 64 --architecture resnet18 \\
    --cell-size 16 --output own.keras
maskdef train --recipe mad/mnist-lenet --scale cpu --data-dir DIR""",
    "evaluate": """\
maskdef evaluate digits.keras --attacks fgsm pgd apgd --output run
maskdef evaluate own.keras --dataset photographs --output run
maskdef evaluate own.keras --dataset tfds:oxford_flowers102 --download \\
    --value-range 0 1 --import my_layers --output run
maskdef evaluate --recipe mad/mnist-lenet --scale cpu --data-dir DIR""",
    "certify": """\
maskdef certify proven.keras --method double_masking --plot curves.png
maskdef certify own.keras --dataset photographs.npz --value-range 0 1""",
    "recipes": """\
maskdef recipes
maskdef recipes mad/mnist-lenet""",
    "merge": """\
maskdef evaluate digits.keras --shard 1/2 --batch-size 100 --output first
maskdef evaluate digits.keras --shard 2/2 --batch-size 100 --output second
maskdef merge first second --output run""",
    "report": "maskdef report run",
}


class _HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Tells defaults that say something, and leaves the lines of examples whole."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, []):
            return action.help
        return super()._get_help_string(action)


def _bare_command(commands: Any, name: str, run: Any, summary: str) -> Any:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"examples:\n{indent(_EXAMPLES[name], '  ')}",
        formatter_class=_HelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser, command=name)
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> Any:
    """A command on the images of a data set."""
    parser = _bare_command(commands, name, run, summary)
    add_data(parser)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=count, default=200, help="to attack")
    parser.add_argument("--epsilon", type=epsilon, default=0.15, help="Linf, in [0, 1]")
