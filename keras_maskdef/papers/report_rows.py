"""Rows of a report, arranged as in a paper's table."""

from collections.abc import Sequence
from typing import Any

from keras_maskdef.results import Report, Row, Score
from keras_maskdef.results.report import QUOTED
from keras_maskdef.results.wording import percent_with_interval

NOTES = {
    "right before": (
        "Accuracy in %, with its 95 % interval.",
        "As in the paper, rows of its table count only the images that the column's",
        "base model classifies correctly without an attack; the clean and adaptive",
        "rows and the worst case count all. Matched: at the epsilon where the attacked",
        "base model is as accurate as the paper's.",
    ),
    "all": ("Accuracy in %, with its 95 % interval, of all images.",),
}


def counted(score: Score, row: Row, counts: str) -> tuple[float, tuple[float, float]]:
    """Accuracy and its interval, over the images that count in this row."""
    interval = score.conditional_interval()
    if counts == "right before" and row.paper and interval is not None:
        assert score.conditional is not None
        return score.conditional, interval
    return score.accuracy, score.interval()


def cell(row: Row, name: str, counts: str) -> str:
    """A column's figure in percent, with its interval."""
    score = row.scores[name]
    return "-" if score is None else percent_with_interval(*counted(score, row, counts))


def columns(report: Report) -> list[str]:
    """The columns of a report; a base model comes before its first defence."""
    names: dict[str, None] = {}
    for name in report.defences:
        if report.heading(name) == name:  # skips columns added for a defence
            names |= {report.base(name) or name: None, name: None}
    return list(names)


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Clean, the paper's rows, each before its matched row, then the others."""
    figures = [row for row in rows if row.paper]
    first = {_key(row): number for number, row in reversed(list(enumerate(figures)))}
    figures.sort(key=lambda row: (first[_key(row)], is_matched(row)))
    others = [row for row in rows if not row.paper]
    checks = ("noise", "frozen")
    last = [row for row in others[1:] if row.threat_model not in checks]
    return [*others[:1], *figures, *last]


def is_matched(row: Row) -> bool:
    """Whether it is a row of the paper with a matched epsilon."""
    return bool(row.paper) and row.epsilon != (row.paper or {})["epsilon"]


def is_quoted(row: Row) -> bool:
    """Whether it is a row to quote."""
    return row.threat_model in QUOTED


def title(row: Row) -> str:
    """The title of a row, with `(matched)` for a matched epsilon."""
    return f"{row.full_title} (matched)" if is_matched(row) else row.full_title


def _key(row: Row) -> tuple[Any, ...]:
    assert row.paper is not None
    return row.threat_model, row.attack, row.norm, row.paper["epsilon"]
