"""The figures of a recipe as a table for a terminal or Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_maskdef.core.wide_table import WideTable


@dataclass(frozen=True)
class ResultTable:
    """Text in rows and columns.

    Args:
        headings: Headings of the columns.
        rows: Cells of each row, as many as headings.
        notes: Notes below the table.
        bold: Indices of the rows to quote, in bold.
    """

    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    bold: frozenset[int] = frozenset()

    def __rich__(self) -> WideTable:
        return WideTable(
            self.headings,
            self.rows,
            bold=self.bold,
            notes=self.notes,
        )

    def markdown(self) -> Iterator[str]:
        """Yields the lines of the table in Markdown."""
        yield _markdown_row(self.headings)
        yield f"|{'---|' * len(self.headings)}"
        for number, (first, *others) in enumerate(self.rows):
            heading = f"**{first}**" if number in self.bold else first
            yield _markdown_row((heading, *others))


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", r"\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
