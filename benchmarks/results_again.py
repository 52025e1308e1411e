"""Compares the second training of a recipe with the first, in a paragraph."""

from collections.abc import Iterator
from typing import Any

from keras_maskdef.papers.claims import CLAIMS
from keras_maskdef.papers.report_rows import cell, counted, is_matched, ordered, title
from keras_maskdef.results import Report


def said_again(recipe: Any, first: dict[str, Any], second: dict[str, Any]) -> str:
    """Says what a second training changes; intervals over images do not cover that.

    Args:
        recipe: An `AttackTable`, at its scale.
        first: The result in the table.
        second: The result of the second training.
    """
    inside, apart, largest = 0, 0, (-1.0, "")
    pairs = [*_pairs(first, second)]
    for row, other, column in pairs:
        was, (low, high) = counted(row.scores[column], row, recipe.counts)
        now, (least, most) = counted(other.scores[column], other, recipe.counts)
        inside += low <= now <= high
        apart += least > high or most < low
        said = (
            f"{column} under {title(row)}, {100 * was:.1f} and then {100 * now:.1f} %"
        )
        largest = max(largest, (abs(now - was), said))
    last = ordered(Report.from_dict(second).rows)[-1]
    left = [f"{name} {cell(last, name, recipe.counts)}" for name in recipe.defences]
    changed = [
        f"{claim.text} ({claim.source}): {claim.judge(second).word}"
        for claim in CLAIMS
        if claim.recipes == (recipe.name,)
        and claim.judge(second).word != claim.judge(first).word
    ]
    verdicts = "; ".join(changed) if changed else "none"
    return (
        f"**Second training.** {inside} of {len(pairs)} figures are within the "
        f"intervals above; for {apart} the intervals of the two trainings do not "
        f"overlap. The largest change: {largest[1]}. Worst case of the second "
        f"training: {', '.join(left)}. Changed verdicts: {verdicts}. Data: "
        "`benchmarks/results/again`."
    )


def _pairs(first: Any, second: Any) -> Iterator[tuple[Any, Any, str]]:
    """Rows of the first and of the second training that belong together, by column."""
    others = {_key(row): row for row in ordered(Report.from_dict(second).rows)}
    for row in ordered(Report.from_dict(first).rows):
        other = others[_key(row)]
        for column, score in row.scores.items():
            if score is not None and other.scores[column] is not None:
                yield row, other, column


def _key(row: Any) -> tuple[Any, ...]:
    """What identifies a row, whatever epsilon was matched."""
    own = row.paper["epsilon"] if row.paper else None
    return row.threat_model, row.attack, row.norm, row.samples, own, is_matched(row)
