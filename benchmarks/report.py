"""Turns pytest-benchmark's JSON into a small one, a table and a bar chart.

python benchmarks/report.py RUN.json [--results benchmarks/results]
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

OURS = "keras_maskdef"


def summary(run: dict[str, Any]) -> dict[str, Any]:
    """Medians, quartiles and best in milliseconds, and each median over ours."""
    rows = []
    for bench in run["benchmarks"]:
        stats, info = bench["stats"], bench["extra_info"]
        rows.append(
            {
                **info,
                "median_ms": round(1e3 * stats["median"], 4),
                "quartiles_ms": [round(1e3 * stats[q], 4) for q in ("q1", "q3")],
                "best_ms": round(1e3 * stats["min"], 4),
                "rounds": stats["rounds"],
            }
        )
    ours = {case(row): row["median_ms"] for row in rows if row["library"] == OURS}
    for row in rows:
        if case(row) in ours:
            row["times_ours"] = round(row["median_ms"] / ours[case(row)], 2)
    return {
        "datetime": run["datetime"],
        **run["machine_info"]["maskdef"],
        "results": sorted(rows, key=lambda row: (case(row), row["median_ms"])),
    }


def case(row: dict[str, Any]) -> tuple[str, ...]:
    return row["kernel"], "x".join(map(str, row["shape"])), row["dtype"]


def table(small: dict[str, Any]) -> str:
    """A row a case, a column a library: median time, and how many times ours."""
    libraries = list(dict.fromkeys(row["library"] for row in small["results"]))
    libraries.sort(key=lambda name: (name != OURS, name != "bare copy", name))
    timed = [row for row in small["results"] if "ratio" not in row]
    lines = [
        "| kernel | images | dtype | " + " | ".join(libraries) + " |",
        "|---" * (3 + len(libraries)) + "|",
    ]
    for key in dict.fromkeys(map(case, timed)):
        cells = {r["library"]: cell(r) for r in small["results"] if case(r) == key}
        values = [*key, *(cells.get(library, "") for library in libraries)]
        lines.append("| " + " | ".join(values) + " |")
    about = (
        f"{small['device']}, {small['cores']} cores, {small['threads']} threads "
        f"(OpenCV {small['opencv_threads']}), commit {small['commit']}. Medians in ms; "
        "in brackets how many times ours, below 1 where we lose."
    )
    return "\n".join([about, "", *lines, "", *paired(small["results"]), ""])


def paired(rows: list[dict[str, Any]]) -> list[str]:
    """The ratios of calls that took turns; they stand where times would drift."""
    lines = ["| pairs of calls | images | median ratio | quartiles |", "|---" * 4 + "|"]
    for row in rows:
        if "ratio" in row:
            low, high = row["ratio_quartiles"]
            images = "x".join(map(str, row["shape"]))
            ratio = f"{row['ratio']:.3f} | {low:.3f} to {high:.3f}"
            lines.append(f"| {row['kernel']} | {images} | {ratio} |")
    return lines if len(lines) > 2 else []


def cell(row: dict[str, Any]) -> str:
    time = f"{row['median_ms']:.3g}"
    if row["library"] == OURS or "times_ours" not in row:
        return time
    return f"{time} ({row['times_ours']:.3g})"


def chart(small: dict[str, Any], path: Path) -> None:
    """Bars of every library over ours, on a log scale, for the first size."""
    shape = small["results"][0]["shape"]
    if [256, 32, 32, 3] in [row["shape"] for row in small["results"]]:
        shape = [256, 32, 32, 3]
    shown = [
        row for row in small["results"] if row["shape"] == shape and "ratio" not in row
    ]
    cases = list(dict.fromkeys(map(case, shown)))
    columns = 2
    height = -(-len(cases) // columns)
    figure, grid = plt.subplots(
        height, columns, figsize=(11, 2.3 * height), squeeze=False, layout="constrained"
    )
    for axis, key in zip(grid.flat, cases, strict=False):
        rows = [row for row in shown if case(row) == key][::-1]
        colours = ["tab:blue" if r["library"] == OURS else "0.7" for r in rows]
        bars = axis.barh(
            [row["library"] for row in rows],
            [row["median_ms"] for row in rows],
            color=colours,
        )
        axis.bar_label(bars, [cell(row) for row in rows], padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
        axis.set_title(f"{key[0]}, {key[2]}", fontsize=10, loc="left")
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    for axis in list(grid.flat)[len(cases) :]:
        axis.axis("off")
    figure.suptitle(
        f"Batches of {'x'.join(map(str, shape))}: ms on a log scale, (times ours)\n"
        f"{small['device']}, {small['cores']} cores",
        fontsize=11,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write(run: dict[str, Any], results: Path) -> Path:
    """Writes the three files and returns the path of the JSON."""
    small = summary(run)
    device = re.sub(r"\W+", "-", small["device"]).strip("-").lower()
    name = f"{small['versions']['keras-maskdef']}-{device}"
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{name}.json"
    lines = ",\n  ".join(json.dumps(row) for row in small.pop("results"))
    head = json.dumps(small, indent=1)[:-2]
    path.write_text(f'{head},\n "results": [\n  {lines}\n ]\n}}\n')
    small = json.loads(path.read_text())
    path.with_suffix(".md").write_text(table(small))
    chart(small, path.with_suffix(".png"))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    path = write(json.loads(arguments.run.read_text()), arguments.results)
    print(path.with_suffix(".md").read_text())
    print(f"Written: {path} and its .md and .png")


if __name__ == "__main__":
    main()
