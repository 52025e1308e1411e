"""Tables that are wider than the screen, as several of them below each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

FIRST = 28  # characters of the first column, of which longer ones are folded
PADDING = 3  # of each column, its line included


@dataclass(frozen=True)
class WideTable:
    """Rows and columns; what does not fit beside the first column comes below.

    Text is printed as it is, whatever rich would read in it.

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
        width = options.max_width
        for number, group in enumerate(self.groups(width)):
            yield self._table(group, width, None if number else self.title)
        if self.notes:
            yield console.render_str("\n".join(self.notes), markup=False, emoji=False)

    def groups(self, width: int) -> Iterator[list[int]]:
        """The columns of each table, so that no cell is cut.

        Args:
            width: Characters of a line.
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
        """Headings break between words; cells should not."""
        words = self.headings[number].split()
        return max(map(cell_len, [*words, *(row[number] for row in self.rows)]))

    @property
    def _first(self) -> int:
        return max(cell_len(row[0]) for row in [self.headings, *self.rows])

    def _widths(self, group: Sequence[int], width: int) -> list[int]:
        """Of the first column and of those of a group: what is left is shared out.

        Rich itself takes from columns what it gives to their neighbours' headings.
        """
        wanted = [self._first, *(cell_len(self.headings[each]) for each in group)]
        widths = [min(self._first, FIRST), *map(self._width, group)]
        spare = width - 1 - sum(each + PADDING for each in widths)
        for number, each in enumerate(wanted):
            more = max(0, min(spare, each - widths[number]))
            widths[number] += more
            spare -= more
        return [max(1, widths[0] + min(0, spare)), *widths[1:]]

    def _table(self, group: Sequence[int], width: int, title: str | None) -> Table:
        table = Table(title=None if title is None else Text(title, "table.title"))
        first, *others = self._widths(group, width)
        table.add_column(Text(self.headings[0]), overflow="fold", width=first)
        for number, each in zip(group, others, strict=True):
            heading = Text(self.headings[number])
            table.add_column(heading, justify="right", overflow="fold", width=each)
        for number, row in enumerate(self.rows):
            if number in self.sections:
                table.add_section()
            style = "bold" if number in self.bold else None
            cells = (Text(row[each]) for each in (0, *group))
            table.add_row(*cells, style=style)
        return table
