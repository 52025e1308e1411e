"""Tables that are wider than the screen, as several of them below each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

FIRST = 28  # characters of the first column, of which longer ones are folded
PADDING = 3  # of each column, its line included


@dataclass(frozen=True)
class WideTable:
    """Rows and columns; what does not fit beside the first column comes below.

    Args:
        headings: Of the columns.
        rows: Cells, as many as there are headings.
        bold: Numbers of the rows to print in bold.
        sections: Numbers of the rows that have a line above them.
        title: Above the table.
        notes: Below it.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    bold: frozenset[int] = frozenset()
    sections: frozenset[int] = frozenset()
    title: str | None = None
    notes: Sequence[str] = ()

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        for number, group in enumerate(self.groups(options.max_width)):
            yield self._table(group, None if number else self.title)
        if self.notes:
            yield "\n".join(self.notes)

    def groups(self, width: int) -> Iterator[list[int]]:
        """The columns of each table, so that no cell is cut.

        Args:
            width: Characters of a line.
        """
        first = max(cell_len(row[0]) for row in [self.headings, *self.rows])
        room = left = width - min(first, FIRST) - PADDING - 1
        group: list[int] = []
        for number in range(1, len(self.headings)):
            wide = self._width(number) + PADDING
            if group and wide > left:
                yield group
                group, left = [], room
            group.append(number)
            left -= wide
        yield group

    def _width(self, number: int) -> int:
        """Headings break between words; cells should not."""
        words = self.headings[number].split()
        return max(map(cell_len, [*words, *(row[number] for row in self.rows)]))

    def _table(self, group: Sequence[int], title: str | None) -> Table:
        table = Table(title=title)
        table.add_column(self.headings[0], overflow="fold")
        for number in group:
            width = self._width(number)
            table.add_column(
                self.headings[number], justify="right", overflow="fold", min_width=width
            )
        for number, row in enumerate(self.rows):
            if number in self.sections:
                table.add_section()
            style = "bold" if number in self.bold else None
            table.add_row(row[0], *(row[each] for each in group), style=style)
        return table
