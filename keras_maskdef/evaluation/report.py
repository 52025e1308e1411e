"""The result of an evaluation: one table."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from keras_maskdef._version import __version__
from keras_maskdef.evaluation.score import Score
from keras_maskdef.reporting.wide_table import WideTable

SCHEMA = 1
# The row to quote: an attacker who knows the defence, or the worst of all of them.
_QUOTED = ("adaptive", "union")
_PACKAGES = (
    "numpy",
    "foolbox",
    "cleverhans",
    "adversarial-robustness-toolbox",
)


@dataclass(frozen=True)
class Row:
    """One attack's scores, by the name of the defence.

    Args:
        attack: Name of the attack.
        norm: Its norm, or `None`.
        epsilon: Its size on the scale of the images, or `None`.
        threat_model: What the attacker knows.
        scores: By defence; `None` where the attacker can do nothing to it.
        library: Whose attack it is.
        samples: Masks in each step of an adaptive attack.
        paper: The paper's figures, `{"attack": ..., "defence": ...}`.
        options: What of the attack is not as the library has it.
    """

    attack: str
    norm: str | None
    epsilon: float | None
    threat_model: str
    scores: Mapping[str, Score | None]
    library: str | None = None
    samples: int | None = None
    paper: Mapping[str, float] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        if self.epsilon is None:
            return self.attack
        known = "adaptive " if self.threat_model == "adaptive" else ""
        masks = ""
        if self.samples:
            masks = f", {self.samples} mask{'s' if self.samples > 1 else ''}"
        return f"{known}{self.attack} {self.norm} {self.epsilon:.4g}{masks}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, each score with its 95 % interval."""
        scores = {
            name: None if score is None else score.to_dict()
            for name, score in self.scores.items()
        }
        return {**asdict(self), "scores": scores}


@dataclass(frozen=True)
class Report:
    """Scores of several defences under several attacks.

    Args:
        rows: The attacks, the clean images first, the worst of all last.
        notes: What has to be known to read the figures, one sentence each.
        settings: Seeds, versions and numbers of the run.
        columns: By defence, the column of its bare classifier (`"bare"`) and how
            many views vote (`"votes"`).
        class_names: Names of the classes.
        warnings: Controls that failed, `{"name": ..., "message": ...}` each.

    Returns:
        A frozen record, as `evaluate` and `merge` make it. It prints as a table under
        rich.

    Raises:
        OSError: By `save`, if the file cannot be written.

    Example:

    >>> scores = {"bare": Score(0.5, 100), "defended": Score(0.75, 100)}
    >>> report = Report([Row("fgsm", "linf", 0.1, "classifier", scores)], notes=[])
    >>> report.defences
    ['bare', 'defended']
    >>> report.to_dict()["rows"][0]["scores"]["defended"]["accuracy"]
    0.75
    """

    rows: list[Row]
    notes: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    warnings: list[dict[str, str]] = field(default_factory=list)

    @property
    def defences(self) -> list[str]:
        return list(self.rows[0].scores)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the documentation has its schema."""
        return {
            "schema": SCHEMA,
            "settings": self.settings,
            "class_names": list(self.class_names),
            "defences": self.columns,
            "rows": [row.to_dict() for row in self.rows],
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    def __rich__(self) -> WideTable:
        known = [row.threat_model for row in self.rows]
        quoted = [number for number, each in enumerate(known) if each in _QUOTED]
        return WideTable(
            ("attack", *self.defences),
            [
                (
                    _marked(row),
                    *(
                        "-" if each is None else str(each)
                        for each in row.scores.values()
                    ),
                )
                for row in self.rows
            ],
            bold=frozenset(quoted),
            sections=frozenset(n for n in quoted if known[n] != known[n - 1]),
            title="Accuracy in %, with its 95 % interval",
            notes=[*self._failures(), *self.notes],
        )

    def _failures(self) -> list[str]:
        return [f"{each['name']}: {each['message']}." for each in self.warnings]


def _marked(row: Row) -> str:
    """The attack, and what its attacker knows where that is not the classifier."""
    untold = ("none", "classifier", *_QUOTED)
    if row.threat_model in untold or row.attack == row.threat_model:
        return row.title
    return f"{row.title} ({row.threat_model.replace('_', ' ')})"


def versions() -> dict[str, str]:
    """Of what the figures of a run can depend on."""
    backend = keras.backend.backend()
    known = {"keras_maskdef": __version__, "backend": backend}
    for package in ("keras", backend, *_PACKAGES):
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return known
