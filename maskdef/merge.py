"""`maskdef merge`: joins the parts of a run."""

import argparse
from pathlib import Path
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("parts", type=Path, nargs="+", help="folders of all parts")
    parser.add_argument("--output", type=Path, required=True, help="output folder")


def run(options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.evaluation.merge import merge
    from maskdef.output import write_page

    console.print(merge(options.parts, options.output))
    write_page(options.output, console)
