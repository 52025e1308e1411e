"""The result of an evaluation: one table."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_maskdef.core.wide_table import WideTable
from keras_maskdef.results import wording
from keras_maskdef.results.score import Score

SCHEMA = 1
CLEAN, NOISE, ADAPTIVE, UNION = "none", "noise", "adaptive", "union"
# The rows to quote: an attacker who knows the defence, and the worst case of all.
QUOTED = (ADAPTIVE, UNION)
# By what their attackers know, ever more; the union row is last.
_ORDER = (CLEAN, NOISE, "surrogate", "classifier", "gray_box", "white_box")


@dataclass(frozen=True)
class Row:
    """One attack's scores, by the name of the defence.

    Args:
        attack: Name of the attack.
        norm: Its norm, or `None`.
        epsilon: Its perturbation budget on the scale of the images, or `None`.
        threat_model: What the attacker knows.
        scores: By defence; `None` where the attack does not apply to it.
        library: Whose attack it is.
        samples: EOT samples in each step of an adaptive attack.
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
        """The attack, its norm and epsilon, and what an adaptive one averages over."""
        return wording.title(self)

    @property
    def full_title(self) -> str:
        """The same, and what the attacker knows where that is not the base model."""
        return wording.full_title(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, each score with its 95 % interval."""
        scores = {
            name: None if score is None else score.to_dict()
            for name, score in self.scores.items()
        }
        return {**asdict(self), "scores": scores}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Row":
        """The row that `to_dict` made plain."""
        scores = {
            name: None if score is None else Score.from_dict(score)
            for name, score in plain["scores"].items()
        }
        return cls(
            plain["attack"],
            plain["norm"],
            plain["epsilon"],
            plain["threat_model"],
            scores,
            plain.get("library"),
            plain.get("samples"),
            plain.get("paper"),
            plain.get("options", {}),
        )


@dataclass(frozen=True)
class Report:
    """Scores of several defences under several attacks.

    Args:
        rows: The attacks, the clean images first, the worst case of all last.
        notes: What has to be known to read the figures, one sentence each.
        settings: Seeds, versions and numbers of the run.
        columns: By defence, the column of its base model (`"bare"`) and how many views
            vote (`"votes"`).
        class_names: Names of the classes.
        warnings: Sanity checks that failed, `{"name": ..., "message": ...}` each.

    Returns:
        A frozen record, as `evaluate` and `merge` make it. It prints as a table under
        rich.

    Raises:
        OSError: By `save`, if the file cannot be written.

    Example:

    >>> scores = {"base": Score(0.5, 100), "defended": Score(0.75, 100)}
    >>> report = Report([Row("fgsm", "linf", 0.1, "classifier", scores)], notes=[])
    >>> report.defences
    ['base', 'defended']
    >>> report.to_dict()["rows"][0]["scores"]["defended"]["accuracy"]
    0.75
    >>> Report.from_dict(report.to_dict()) == report
    True
    """

    rows: list[Row]
    notes: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    warnings: list[dict[str, str]] = field(default_factory=list)

    @property
    def defences(self) -> list[str]:
        """The names of all columns, those of base models as well."""
        return list(self.columns or self.rows[0].scores)

    @property
    def judged(self) -> list[str]:
        """The columns that are defences; those of base models if nothing else is."""
        return [name for name in self.columns if self.base(name)] or self.defences

    @property
    def images(self) -> int:
        """How many images were attacked."""
        scores = self.rows[0].scores.values()
        return max((score.images for score in scores if score), default=0)

    @property
    def groups(self) -> list[list[Row]]:
        """The rows by what their attackers know, ever more; the union row is last."""
        threats = {row.threat_model: None for row in self.rows}
        others = [t for t in threats if t not in (*_ORDER, *QUOTED)]
        order = [t for t in (*_ORDER, *others, *QUOTED) if t in threats]
        return [[r for r in self.rows if r.threat_model == t] for t in order]

    def base(self, name: str) -> str | None:
        """The column of a defence's base model; None for a column that is one."""
        base = self.columns[name]["bare"]
        return None if base == name else base

    def heading(self, name: str) -> str:
        """What stands above a column."""
        return wording.heading(name, self.columns)

    def message(self, warning: Mapping[str, str]) -> str:
        """What a sanity check found, of a column by its heading."""
        name, colon, text = warning["message"].partition(": ")
        return f"{self.heading(name)}{colon}{text}"

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

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Report":
        """The report that `to_dict` made plain."""
        return cls(
            [Row.from_dict(row) for row in plain["rows"]],
            list(plain["notes"]),
            dict(plain["settings"]),
            dict(plain["defences"]),
            tuple(plain["class_names"]),
            list(plain["warnings"]),
        )

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    def __rich__(self) -> WideTable:
        known = [row.threat_model for row in self.rows]
        quoted = [number for number, each in enumerate(known) if each in QUOTED]
        return WideTable(
            ("attack", *map(self.heading, self.defences)),
            [
                (row.full_title, *(self._cell(row, name) for name in self.defences))
                for row in self.rows
            ],
            bold=frozenset(quoted),
            sections=frozenset(n for n in quoted if known[n] != known[n - 1]),
            title="Accuracy in %, with its 95 % interval",
            notes=[*self._failures(), *self.notes],
        )

    def _cell(self, row: Row, name: str) -> str:
        score = row.scores.get(name)
        return "-" if score is None else str(score)

    def _failures(self) -> list[str]:
        return [f"{each['name']}: {self.message(each)}." for each in self.warnings]
