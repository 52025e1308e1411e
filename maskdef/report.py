"""`maskdef report`: a page and pictures of a run."""

import argparse
from pathlib import Path
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_folder", type=Path, metavar="run", help="folder of an evaluation run"
    )
    parser.add_argument(
        "--output", type=Path, help="output folder (default: the run folder)"
    )


def run(options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.core.progress import say
    from keras_maskdef.reporting.html_report import write_report
    from maskdef.output import say_page

    for path in write_report(options.run_folder, options.output):
        say(console, f"wrote {path}")
    say_page(options.output or options.run_folder, console)
