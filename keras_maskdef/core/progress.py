"""Lines and progress bars that a command prints while it works."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int], None]
Start = Callable[[str, int], Advance]


def silent(description: str, total: int) -> Advance:
    """Shows nothing."""
    return lambda done: None


def say(console: Console, line: str) -> None:
    """Prints a line without wrapping it, so that paths and commands can be copied."""
    console.print(line, soft_wrap=True)


@contextmanager
def progress_bars(console: Console) -> Iterator[Start]:
    """Yields a function that starts a bar and returns a function to advance it."""
    columns = (
        TextColumn("{task.description:<37}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as progress:

        def start(description: str, total: int) -> Advance:
            task = progress.add_task(description, total=total)
            return lambda done: progress.advance(task, done)

        yield start
