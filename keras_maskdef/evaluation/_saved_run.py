"""An evaluation run as it lies in its folder: read, and checked for what it lacks."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
CLEAN, NOISE, ADAPTIVE, UNION = "none", "noise", "adaptive", "union"
_ORDER = (CLEAN, NOISE, "surrogate", "classifier", "gray_box", "white_box")
_PARTS = ("settings", "class_names", "defences", "rows", "warnings", "notes")


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
    """Reads the folder of an evaluation run."""
    path = folder / "results.json"
    if not path.is_file():
        raise FileNotFoundError(
            "`run` must be the folder of an evaluation run, with the results.json that "
            f"`maskdef evaluate` writes. Received: run={folder}"
        )
    results = _json(path)
    _check(path, results)
    speed = folder / "speed.json"
    gallery = folder / "gallery.npz"
    return Run(
        results,
        _arrays(gallery) if gallery.is_file() else {},
        _json(speed) if speed.is_file() else {},
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"`run` must hold readable JSON. Received: {path}, where {error}"
        ) from error


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`run` must hold arrays as NumPy saves them. Received: {path}, where "
            f"{error}"
        ) from error


def _check(path: Path, results: Any) -> None:
    """Refuses what is no run, and what would be a report without its headline."""
    schema = results.get("schema") if isinstance(results, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"`run` must be of schema {SCHEMA}, which this version of keras_maskdef "
            f"reads and writes. Received: schema={schema!r} in {path}"
        )
    missing = [part for part in _PARTS if part not in results]
    if missing:
        raise ValueError(
            f"`run` must hold all of {', '.join(_PARTS)}. Received: {path}, without "
            f"{', '.join(missing)}"
        )
    threats = [row["threat_model"] for row in results["rows"]]
    if not threats or threats[0] != CLEAN or threats[-1] != UNION:
        raise ValueError(
            "`run` must begin with its clean row and end with its union row. Received: "
            f"{path}, with rows of threat models {threats}"
        )
    for name in _judged(results["defences"]):
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
