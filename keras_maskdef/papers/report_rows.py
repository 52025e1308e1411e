"""Rows of a report, as a paper's table has them."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
NOTES = {
    "right before": (
        "Accuracy in %, with its 95 % interval.",
        "Rows of the paper's table count, as the paper does, the images that the bare",
        "classifier of the column has right before; clean, adaptive and last row count",
        "all. Matched: at the size where the bare classifier, attacked, is as accurate",
        "as the paper's.",
    ),
    "all": ("Accuracy in %, with its 95 % interval, of all images.",),
}


def counted(
    score: Mapping[str, Any], row: Row, counts: str
) -> tuple[float, tuple[float, float]]:
    """A figure and its interval, of the images that count in this row."""
    conditional = counts == "right before" and row["paper"]
    if conditional and score["conditional"] is not None:
        low, high = score["conditional_interval_95"]
        return score["conditional"], (low, high)
    low, high = score["interval_95"]
    return score["accuracy"], (low, high)


def cell(row: Row, name: str, counts: str) -> str:
    """A column's figure in percent, with its interval."""
    score = row["scores"][name]
    if score is None:
        return "-"
    figure, (low, high) = counted(score, row, counts)
    return f"{100 * figure:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def columns(result: Mapping[str, Any]) -> list[str]:
    """The columns of a report, each bare classifier before the first that has it."""
    names: dict[str, None] = {}
    for name, about in result["defences"].items():
        if not _owners(result, name):
            names |= {about["bare"]: None, name: None}
    return list(names)


def heading(result: Mapping[str, Any], name: str) -> str:
    """Of a classifier that is in the table for a defence only, of which one."""
    owners = _owners(result, name)
    if len(owners) > 1 and len(owners) == len(result["defences"]) - 1:
        return "bare classifier of all"
    return f"bare classifier of {', '.join(owners)}" if owners else name


def _owners(result: Mapping[str, Any], name: str) -> list[str]:
    if not name.startswith("bare classifier"):
        return []
    return [
        other
        for other, about in result["defences"].items()
        if about["bare"] == name and other != name
    ]


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Clean, each row of the paper in its size and then matched, the adaptive ones."""
    figures = [row for row in rows if row["paper"]]
    first = {_key(row): number for number, row in reversed(list(enumerate(figures)))}
    figures.sort(key=lambda row: (first[_key(row)], is_matched(row)))
    others = [row for row in rows if not row["paper"]]
    controls = ("noise", "frozen")
    last = [row for row in others[1:] if row["threat_model"] not in controls]
    return [*others[:1], *figures, *last]


def is_matched(row: Row) -> bool:
    """Whether it is a row of the paper in another size than the paper's."""
    return bool(row["paper"]) and row["epsilon"] != row["paper"]["epsilon"]


def title(row: Row) -> str:
    """The attack, its size, and what its attacker knows where that is not usual."""
    if row["epsilon"] is None:
        return (
            f"**{row['attack']}**" if row["threat_model"] == "union" else row["attack"]
        )
    name = f"{row['attack']} {row['norm']} {row['epsilon']:.3g}"
    if is_matched(row):
        return f"{name} (matched)"
    if row["threat_model"] == "adaptive":
        masks = f", masks a step: {row['samples']}" if row["samples"] else ""
        return f"**adaptive** {name}{masks}"
    if row["threat_model"] in ("surrogate", "gray_box", "white_box"):
        return f"{name} ({row['threat_model'].replace('_', ' ')})"
    return name


def _key(row: Row) -> tuple[Any, ...]:
    own = row["paper"]["epsilon"]
    return row["threat_model"], row["attack"], row["norm"], own
