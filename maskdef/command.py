"""Parses arguments, runs the sub-command, and prints errors in one line."""

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata
from textwrap import indent
from typing import Any

from maskdef import certify, demo, evaluate, merge, recipe, recipes, report, train
from maskdef.former import in_todays_form
from maskdef.output import new_console, notes_printed, without_tensorflows_notes

# Sub-commands: module, summary and examples.
COMMANDS: dict[str, tuple[Any, str, str]] = {
    "demo": (
        demo,
        "attack digits, with and without a defence",
        "maskdef demo --output demo-output",
    ),
    "train": (
        train,
        "train a defended classifier",
        """\
maskdef train mad --output digits.keras
maskdef train certified --output proven.keras
maskdef train mad --dataset photographs --image-size 64 64 --architecture resnet18 \\
    --cell-size 16 --output own.keras""",
    ),
    "evaluate": (
        evaluate,
        "measure the robust accuracy of saved models",
        """\
maskdef evaluate digits.keras --attacks fgsm pgd apgd --output run
maskdef evaluate own.keras --dataset photographs --output run
maskdef evaluate own.keras --dataset tfds:oxford_flowers102 --download \\
    --value-range 0 1 --import my_layers --output run""",
    ),
    "certify": (
        certify,
        "prove which predictions a small change cannot alter",
        """\
maskdef certify proven.keras --method double_masking --plot curves.png
maskdef certify own.keras --dataset photographs.npz --value-range 0 1""",
    ),
    "recipes": (
        recipes,
        "list the papers' experiments",
        """\
maskdef recipes
maskdef recipes mad/mnist-lenet""",
    ),
    "recipe": (
        recipe,
        "run a paper's experiment",
        """\
maskdef recipe mad/mnist-lenet --scale cpu --data-dir DIR
maskdef recipe mad/mnist-lenet --scale cpu --data-dir DIR --train-only""",
    ),
    "merge": (
        merge,
        "join the parts of an evaluation",
        """\
maskdef evaluate digits.keras --shard 1/2 --batch-size 100 --output first
maskdef evaluate digits.keras --shard 2/2 --batch-size 100 --output second
maskdef merge first second --output run""",
    ),
    "report": (
        report,
        "make a page and pictures of an evaluation",
        "maskdef report run",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one sub-command; returns the exit status, 2 for an error of the user."""
    given = in_todays_form(sys.argv[1:] if arguments is None else arguments)
    options = make_parser().parse_args(given)
    options.typed = {text.partition("=")[0] for text in given}
    with without_tensorflows_notes():
        import tensorflow  # noqa: F401  # reads images on other backends, too

        import keras_maskdef  # noqa: F401
    console = new_console()
    try:
        with notes_printed(console):
            options.run(options, console)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"maskdef: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskdef: stopped", file=sys.stderr)
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands."""
    parser = argparse.ArgumentParser(
        prog="maskdef", description="Mask-based adversarial defence for Keras."
    )
    version = metadata.version("keras_maskdef")
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, summary, examples) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"examples:\n{indent(examples, '  ')}",
            formatter_class=HelpFormatter,
        )
        command.set_defaults(run=module.run, command=name)
        module.add_options(command)
    return parser


class HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Shows defaults except None, False and [], and keeps the lines of examples."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, []):
            return action.help
        return super()._get_help_string(action)
