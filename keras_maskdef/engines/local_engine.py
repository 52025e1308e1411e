"""Work in this process."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_maskdef.engines.engine import Do, Work


class LocalEngine:
    """Does all pieces of work in this process, one after the other.

    Example:

    >>> with LocalEngine().started(lambda number: [number, -number]) as do:
    ...     list(do([1, 2]))
    [(1, 1), (1, -1), (2, 2), (2, -2)]
    """

    @contextmanager
    def started(self, work: Work) -> Iterator[Do]:
        """See `Engine`."""

        def do(pieces: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            for piece in pieces:
                for result in work(piece):
                    yield piece, result

        yield do
