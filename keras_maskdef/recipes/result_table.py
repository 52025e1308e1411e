"""The figures of a recipe, for a screen and for a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table


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

    def __rich__(self) -> Table:
        table = Table(
            caption="\n".join(self.notes),
            caption_justify="left",
            caption_style="not dim",
        )
        first, *others = self.headings
        table.add_column(first, overflow="fold")
        for heading in others:
            table.add_column(heading, justify="right")
        for row in self.rows:
            bold = row[0].startswith("**")
            cells = (row[0].replace("**", ""), *row[1:])
            table.add_row(*cells, style="bold" if bold else None)
        return table

    def markdown(self) -> Iterator[str]:
        """The lines of a table in Markdown."""
        yield f"| {' | '.join(self.headings)} |"
        yield f"|{'---|' * len(self.headings)}"
        for row in self.rows:
            yield f"| {' | '.join(row)} |"
