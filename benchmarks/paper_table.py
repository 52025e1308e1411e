"""A run of a paper's table as Markdown: the paper beside what was measured here.

python benchmarks/paper_table.py benchmarks/results/mad-table5-lenet-mnist.json
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from keras_maskdef.recipes.report_rows import cell, ordered, title
from keras_maskdef.recipes.result_table import ResultTable


def lines(results: Mapping[str, Any]) -> Iterator[str]:
    names = list(results["defences"])
    rows = [
        (title(row), paper(row), *(cell(row, name, "right before") for name in names))
        for row in ordered(results["rows"])
    ]
    headings = ("attack", "paper: attack, defence", *names)
    return ResultTable(headings, rows).markdown()


def paper(row: Mapping[str, Any]) -> str:
    figures = row["paper"] or {}
    known = [figures[name] for name in ("attack", "defence") if name in figures]
    return ", ".join(f"{100 * figure:.1f}" for figure in known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    print("\n".join(lines(json.loads(parser.parse_args().results.read_text()))))


if __name__ == "__main__":
    main()
