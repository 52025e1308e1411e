"""An evaluation run as it lies in its folder: read, and checked for what it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.core.checked_files import (
    Arrays,
    Form,
    check_arrays,
    damaged,
    read_arrays,
    read_json,
)
from keras_maskdef.results.report import ADAPTIVE, CLEAN, SCHEMA, UNION, Report

# Pixels beyond this are no image, and matplotlib cannot draw them.
FAR = 1e6
_EXAMPLES = 8
# Limits within which the page of a run takes at most 10 seconds of a core and 1 GiB.
# The schema has those of rows and columns, too. The largest recipes of the papers have
# 96 rows, 9 columns, 288 scores and 1,710 accuracies by the number of votes.
_MOST_ROWS, _MOST_COLUMNS = 300, 40
_MOST_THREATS = 20  # there are 8
_MOST_SCORES, _MOST_BY_VOTES, _MOST_BYTES = 2400, 200_000, 1 << 23


@dataclass(frozen=True)
class SavedRun:
    """Everything that an evaluation wrote.

    Args:
        report: `results.json`.
        gallery: Arrays of `gallery.npz`, none where it is absent.
        speed: `speed.json`, by the name of the defence; empty where it is absent.
    """

    report: Report
    gallery: Mapping[str, np.ndarray]
    speed: dict[str, Any]


def read_run(folder: Path) -> SavedRun:
    """Reads the folder of an evaluation run.

    Raises:
        FileNotFoundError: If it has no results.
        OSError: If a file is damaged.
        ValueError: For another schema, and for results without their headline.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise FileNotFoundError(
            "`run` must be the folder of an evaluation run, with the results.json that "
            f"`maskdef evaluate` writes. Received: run={folder}"
        )
    report = read_report(path)
    sizes = len(report.columns), len(report.class_names)
    return SavedRun(report, read_gallery(folder, *sizes), read_speed(folder))


def read_report(path: Path) -> Report:
    """Reads a `results.json`.

    Raises:
        OSError: If it is damaged.
        ValueError: For another schema, and for results without their headline.
    """
    # Not kept while it is read again.
    schema = read_json(path, "object", _MOST_BYTES).get("schema")
    if schema != SCHEMA or schema is True:
        raise ValueError(
            f"`run` must be of schema {SCHEMA}, which this version of keras_maskdef "
            f"reads and writes. Received: schema={schema!r:.60} in {path}"
        )
    plain = read_json(path, "results", _MOST_BYTES)
    _check_work(path, plain)
    _check_intervals(path, plain["rows"])
    for name, about in plain["defences"].items():
        if about["bare"] not in plain["defences"]:
            raise damaged(
                path,
                f"$.defences[{name!r}].bare: {about['bare']!r} is none of the defences",
            )
    report = Report.from_dict(plain)
    _check_headlines(path, report)
    return report


def read_gallery(folder: Path, columns: int, classes: int) -> Arrays:
    """Reads `gallery.npz`; nothing where there is none.

    Args:
        folder: Of the run.
        columns: How many columns the run has.
        classes: How many classes.

    Raises:
        OSError: If it is damaged.
    """
    path = folder / "gallery.npz"
    if not path.exists():
        return {}
    gallery = read_arrays(path)
    forms = {
        "images": Form("f", (None, None, None, None), -FAR, FAR),
        "title": Form("U", (), optional=True),
    }
    shape = check_arrays(path, gallery, forms)["images"].shape
    if shape[0] > _EXAMPLES:
        raise damaged(path, f"{shape[0]:,} images, and at most {_EXAMPLES} are kept")
    forms["labels"] = Form("iu", shape[:1], 0, classes - 1)
    for number in range(columns):
        if f"{number}/adversarial" in gallery:
            own = _gallery_forms(shape, gallery.get(f"{number}/views"), classes)
            forms |= {f"{number}/{name}": form for name, form in own.items()}
    return check_arrays(path, gallery, forms)


def _gallery_forms(
    shape: tuple[int, ...], views: np.ndarray | None, classes: int
) -> dict[str, Form]:
    """The arrays of one column, for images of a shape, and maybe views of them."""
    several: tuple[Any, ...] = (None, *shape)
    if views is not None and views.size:
        several = (len(views), *shape)
    image = Form("f", shape, -FAR, FAR)
    verdicts = Form("iu", shape[:1], 0, classes - 1)
    return {
        "adversarial": image,
        "prediction": verdicts,
        "clean_prediction": verdicts,
        "mask": replace(image, shape=(*shape[:3], None), optional=True),
        "filtered": replace(image, optional=True),
        "views": replace(image, shape=several, optional=True),
        "hidden": Form("b", several[:-1], optional=True),
        "ballots": replace(verdicts, shape=several[:2], optional=views is None),
    }


def read_speed(folder: Path) -> dict[str, Any]:
    """Reads `speed.json`; nothing where there is none.

    Raises:
        OSError: If it is damaged.
    """
    path = folder / "speed.json"
    if not path.exists():
        return {}
    speed = read_json(path, "speed")
    for name, measured in speed.items():
        if len(measured["votes"]) != len(measured["images_per_second"]):
            raise damaged(path, f"numbers of votes and of speeds of {name!r} differ")
    return speed


def _check_work(path: Path, plain: dict[str, Any]) -> None:
    """Refuses a report whose page would take too long to make."""
    rows, columns = plain["rows"], plain["defences"]
    for row in rows:
        if not row["scores"].keys() <= columns.keys():
            raise damaged(path, f"a row of {row['attack']!r} has other columns")
    threats = {row["threat_model"] for row in rows}
    if len(threats) > _MOST_THREATS:
        raise damaged(
            path, f"{len(threats)} threat models, and at most {_MOST_THREATS}"
        )
    by_votes = sum(
        len((score or {}).get("votes") or ())
        for row in rows
        for score in row["scores"].values()
    )
    wrong = too_much(len(rows), len(columns), by_votes)
    if wrong:
        raise damaged(path, wrong)


def too_much(rows: int, columns: int, by_votes: int) -> str | None:
    """The limit that a report exceeds, in words, or None.

    Args:
        rows: Integer, number of rows.
        columns: Integer, number of columns.
        by_votes: Integer, accuracies by the number of votes, of all rows and columns.
    """
    for found, most, of_what in (
        (rows, _MOST_ROWS, "rows"),
        (columns, _MOST_COLUMNS, "columns"),
        (rows * columns, _MOST_SCORES, "rows times columns"),
        (by_votes, _MOST_BY_VOTES, "accuracies by the number of votes"),
    ):
        if found > most:
            return f"{found:,} {of_what}, and at most {most:,} are reported"
    return None


def _check_intervals(path: Path, rows: list[dict[str, Any]]) -> None:
    """They are computed anew; a file in which they are wrong is not trusted."""
    for number, row in enumerate(rows):
        for name, score in row["scores"].items():
            for key, bounds in (score or {}).items():
                if key.endswith("interval_95") and not bounds[0] <= bounds[1]:
                    place = f"$.rows[{number}].scores[{name!r}].{key}"
                    raise damaged(path, f"{place}: {bounds[0]} is above {bounds[1]}")


def _check_headlines(path: Path, report: Report) -> None:
    """Refuses what would be a report without its headline."""
    threats = [row.threat_model for row in report.rows]
    if threats[0] != CLEAN or threats[-1] != UNION:
        raise ValueError(
            "`run` must begin with its clean row and end with its union row. Received: "
            f"{path}, with rows of threat models {sorted({*threats})}"
        )
    for name in report.judged:
        found = {row.threat_model for row in report.rows if row.scores.get(name)}
        if not {ADAPTIVE, UNION} <= found:
            raise ValueError(
                "`run` must hold an adaptive row and the union row for each defence; a "
                f"report without them is not written. Received: {path}, with rows of "
                f"threat models {sorted(found)} for {name!r}"
            )
