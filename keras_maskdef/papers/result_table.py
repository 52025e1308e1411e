"""The figures of a recipe, for a screen and for a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_maskdef.reporting.wide_table import WideTable


@dataclass(frozen=True)
class ResultTable:
    """Text in rows and columns.

    Args:
        headings: Of the columns.
        rows: Cells, as many as there are headings.
        notes: What has to be known to read it.
    """

    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __rich__(self) -> WideTable:
        return WideTable(
            self.headings,
            [(row[0].replace("**", ""), *row[1:]) for row in self.rows],
            bold=frozenset(
                number
                for number, row in enumerate(self.rows)
                if row[0].startswith("**")
            ),
            notes=self.notes,
        )

    def markdown(self) -> Iterator[str]:
        """The lines of a table in Markdown."""
        yield _markdown_row(self.headings)
        yield f"|{'---|' * len(self.headings)}"
        for row in self.rows:
            yield _markdown_row(row)


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", r"\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
