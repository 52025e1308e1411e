"""The result of an evaluation: one table."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
from rich.table import Table

from keras_maskdef._version import __version__
from keras_maskdef.evaluation.score import Score


@dataclass(frozen=True)
class Row:
    """One attack's scores, by the name of the defence."""

    attack: str
    norm: str | None
    epsilon: float | None
    threat_model: str
    scores: dict[str, Score]

    @property
    def title(self) -> str:
        if self.epsilon is None:
            return self.attack
        return f"{self.attack} {self.norm} {self.epsilon:g}"


@dataclass(frozen=True)
class Report:
    """Scores of several defences under several attacks.

    Args:
        rows: The attacks, the clean images first, the adaptive attack last.
        notes: What has to be known to read the figures, one sentence each.
        settings: Seeds, versions and numbers of the run.
    """

    rows: list[Row]
    notes: list[str]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def defences(self) -> list[str]:
        return list(self.rows[0].scores)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, each score with its 95 % interval."""
        rows = []
        for row in self.rows:
            scores = {
                name: {**asdict(score), "interval_95": score.interval()}
                for name, score in row.scores.items()
            }
            rows.append({**asdict(row), "scores": scores})
        return {"rows": rows, "notes": self.notes, "settings": self.settings}

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    def __rich__(self) -> Table:
        table = Table(
            title="Accuracy in %, with its 95 % interval",
            caption="\n".join(self.notes),
            caption_justify="left",
            caption_style="not dim",
        )
        table.add_column("attack", no_wrap=True)
        for name in self.defences:
            table.add_column(name, justify="right")
        for row in self.rows:
            adaptive = row.threat_model == "adaptive"
            if adaptive:
                table.add_section()
            table.add_row(
                row.title,
                *(str(score) for score in row.scores.values()),
                style="bold" if adaptive else None,
            )
        return table


def run_settings(seed: int) -> dict[str, Any]:
    """What a run has to name to be repeated."""
    return {
        "keras_maskdef": __version__,
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "seed": seed,
    }
