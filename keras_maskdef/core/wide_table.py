"""Prints a table wider than the screen as several tables below each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

FIRST = 28  # characters of the first column; longer text is folded
PADDING = 3  # characters around each column, including its line


@dataclass(frozen=True)
class WideTable:
    """A table; columns that do not fit are printed below, in further tables.

    Text is printed literally, without rich's markup.

    Args:
        headings: Headings of the columns.
        rows: Cells of each row, as many as headings.
        bold: Indices of the rows to print in bold.
        sections: Indices of the rows that have a line above them.
        title: Title above the table.
        notes: Lines below it.
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
        width = options.max_width
        for number, group in enumerate(self.groups(width)):
            yield self._table(group, width, None if number else self.title)
        if self.notes:
            yield console.render_str("\n".join(self.notes), markup=False, emoji=False)

    def groups(self, width: int) -> Iterator[list[int]]:
        """The columns of each table, chosen so that no cell is cut.

        Args:
            width: Characters in a line.
        """
        room = left = width - min(self._first, FIRST) - PADDING - 1
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
        """Width of a column: headings may break between words, cells should not."""
        words = self.headings[number].split()
        return max(map(cell_len, [*words, *(row[number] for row in self.rows)]))

    @property
    def _first(self) -> int:
        return max(cell_len(row[0]) for row in [self.headings, *self.rows])

    def _widths(self, group: Sequence[int], width: int) -> list[int]:
        """Widths of the first column and of a group; spare characters are shared out.

        Rich itself would narrow columns to widen their neighbours' headings.
        """
        wanted = [self._first, *(cell_len(self.headings[column]) for column in group)]
        widths = [min(self._first, FIRST), *map(self._width, group)]
        spare = width - 1 - sum(size + PADDING for size in widths)
        for number, size in enumerate(wanted):
            more = max(0, min(spare, size - widths[number]))
            widths[number] += more
            spare -= more
        return [max(1, widths[0] + min(0, spare)), *widths[1:]]

    def _table(self, group: Sequence[int], width: int, title: str | None) -> Table:
        table = Table(title=None if title is None else Text(title, "table.title"))
        first, *others = self._widths(group, width)
        table.add_column(Text(self.headings[0]), overflow="fold", width=first)
        for column, size in zip(group, others, strict=True):
            heading = Text(self.headings[column])
            table.add_column(heading, justify="right", overflow="fold", width=size)
        for number, row in enumerate(self.rows):
            if number in self.sections:
                table.add_section()
            style = "bold" if number in self.bold else None
            cells = (Text(row[column]) for column in (0, *group))
            table.add_row(*cells, style=style)
        return table
