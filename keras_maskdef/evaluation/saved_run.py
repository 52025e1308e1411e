"""An evaluation run as it lies in its folder: read, and checked for what it lacks."""

from collections.abc import Iterator, Mapping
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

SCHEMA = 1
CLEAN, NOISE, ADAPTIVE, UNION = "none", "noise", "adaptive", "union"
_ORDER = (CLEAN, NOISE, "surrogate", "classifier", "gray_box", "white_box")
# Images are drawn as they are, and far from what any image is nothing can be drawn.
_FAR = 1e6
_EXAMPLES = 8


@dataclass(frozen=True)
class Run:
    """Everything that an evaluation wrote.

    Args:
        results: `results.json`.
        gallery: Arrays of `gallery.npz`, none where it is absent.
        speed: `speed.json`, by the name of the defence; empty where it is absent.
    """

    results: dict[str, Any]
    gallery: Mapping[str, np.ndarray]
    speed: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.results["rows"]

    @property
    def names(self) -> list[str]:
        return list(self.results["defences"])

    @property
    def shown(self) -> list[str]:
        """The defences that are judged; bare classifiers only where nothing else is."""
        return _judged(self.results["defences"])

    @property
    def images(self) -> int:
        scores = self.rows[0]["scores"].values()
        return max((score["images"] for score in scores if score), default=0)

    @property
    def groups(self) -> list[list[dict[str, Any]]]:
        """The rows by what their attackers know, ever more; the union row is last."""
        threats = {row["threat_model"]: None for row in self.rows}
        others = [t for t in threats if t not in (*_ORDER, ADAPTIVE, UNION)]
        order = [t for t in (*_ORDER, *others, ADAPTIVE, UNION) if t in threats]
        return [[r for r in self.rows if r["threat_model"] == t] for t in order]

    def bare(self, name: str) -> str | None:
        """The column to compare a defence with, none for what is bare itself."""
        bare = self.results["defences"][name]["bare"]
        return None if bare == name else bare

    def score(self, row: Mapping[str, Any], name: str) -> dict[str, Any]:
        """One cell, empty where the attack does not apply to the defence."""
        return row["scores"].get(name) or {}


def read_run(folder: Path) -> Run:
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
    results = read_results(path)
    sizes = len(results["defences"]), len(results["class_names"])
    return Run(results, read_gallery(folder, *sizes), read_speed(folder))


def read_results(path: Path) -> dict[str, Any]:
    """Reads a `results.json`.

    Raises:
        OSError: If it is damaged.
        ValueError: For another schema, and for results without their headline.
    """
    results = read_json(path, "object")
    schema = results.get("schema")
    if schema != SCHEMA or schema is True:
        raise ValueError(
            f"`run` must be of schema {SCHEMA}, which this version of keras_maskdef "
            f"reads and writes. Received: schema={schema!r:.60} in {path}"
        )
    results = read_json(path, "results")
    _check_rows(path, results)
    _check_defences(path, results)
    return results


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
        "images": Form("f", (None, None, None, None), -_FAR, _FAR),
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
    image = Form("f", shape, -_FAR, _FAR)
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


def _check_rows(path: Path, results: Mapping[str, Any]) -> None:
    """Refuses what would be a report without its headline, or with wrong figures."""
    threats = [row["threat_model"] for row in results["rows"]]
    if threats[0] != CLEAN or threats[-1] != UNION:
        raise ValueError(
            "`run` must begin with its clean row and end with its union row. Received: "
            f"{path}, with rows of threat models {sorted({*threats})}"
        )
    for number, row in enumerate(results["rows"]):
        for name, score in row["scores"].items():
            for key, (low, high) in _intervals(score):
                if not low <= high:
                    place = f"$.rows[{number}].scores[{name!r}].{key}"
                    raise damaged(path, f"{place}: {low} is above {high}")


def _intervals(score: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    for key, value in (score or {}).items():
        if key.endswith("interval_95"):
            yield key, value


def _check_defences(path: Path, results: Mapping[str, Any]) -> None:
    defences = results["defences"]
    for name, about in defences.items():
        if about["bare"] not in defences:
            raise damaged(
                path,
                f"$.defences[{name!r}].bare: {about['bare']!r} is none of the defences",
            )
    for name in _judged(defences):
        _check_headline(path, results["rows"], name)


def _judged(defences: Mapping[str, Any]) -> list[str]:
    return [n for n in defences if defences[n]["bare"] != n] or list(defences)


def _check_headline(path: Path, rows: list[dict[str, Any]], name: str) -> None:
    found = {row["threat_model"] for row in rows if row["scores"].get(name)}
    if not {ADAPTIVE, UNION} <= found:
        raise ValueError(
            "`run` must hold an adaptive row and the union row for each defence; a "
            f"report without them is not written. Received: {path}, with rows of "
            f"threat models {sorted(found)} for {name!r}"
        )
