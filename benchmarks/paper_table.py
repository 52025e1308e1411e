"""A run of a paper's table as Markdown: the paper beside what was measured here.

python benchmarks/paper_table.py benchmarks/results/mad-table5-lenet-mnist.json
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def lines(results: Mapping[str, Any]) -> Iterator[str]:
    names = list(results["defences"])
    yield "| attack | paper: attack, defence | " + " | ".join(names) + " |"
    yield "|---" * (2 + len(names)) + "|"
    for row in ordered(results["rows"]):
        cells = " | ".join(score(row["scores"][name], row) for name in names)
        yield f"| {title(row)} | {paper(row)} | {cells} |"


def ordered(rows: list[Row]) -> list[Row]:
    """Each of the paper's rows in its size, then at matched strength."""
    figures = [row for row in rows if row["paper"]]
    first = {key(row): number for number, row in reversed(list(enumerate(figures)))}
    figures.sort(key=lambda row: (first[key(row)], row["epsilon"] != own(row)))
    others = [row for row in rows if not row["paper"]]
    clean, last = others[:1], [r for r in others[1:] if r["threat_model"] != "noise"]
    return [*clean, *figures, *last]


def key(row: Row) -> tuple[Any, ...]:
    return row["attack"], row["norm"], own(row)


def own(row: Row) -> float:
    return row["paper"]["epsilon"]


def title(row: Row) -> str:
    if row["epsilon"] is None:
        name = row["attack"]
    else:
        name = f"{row['attack']} {row['norm']} {row['epsilon']:.4g}"
    if row["paper"] and row["epsilon"] != own(row):
        return f"{name} (matched)"
    if row["threat_model"] == "adaptive":
        masks = f", masks a step: {row['samples']}" if row["samples"] else ""
        return f"**adaptive** {name}{masks}"
    return f"**{name}**" if row["threat_model"] == "union" else name


def paper(row: Row) -> str:
    if not row["paper"]:
        return ""
    return f"{100 * row['paper']['attack']:.1f}, {100 * row['paper']['defence']:.1f}"


def score(found: Mapping[str, Any] | None, row: Row) -> str:
    """As the paper counts where it is the paper's row, else of all images."""
    if found is None:
        return "-"
    name = "conditional" if row["paper"] else "accuracy"
    low, high = found["conditional_interval_95" if row["paper"] else "interval_95"]
    return f"{100 * found[name]:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    print("\n".join(lines(json.loads(parser.parse_args().results.read_text()))))


if __name__ == "__main__":
    main()
