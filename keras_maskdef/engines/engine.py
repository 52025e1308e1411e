"""The protocol of engines."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

Work = Callable[[Any], Iterable[Any]]
Do = Callable[[Iterable[Any]], Iterator[tuple[Any, Any]]]


class Engine(Protocol):
    """Does pieces of work that do not depend on each other.

    `evaluate` and `certify` are lists of such pieces: an attack on a batch, a proof for
    some images. The results of a piece depend on the piece alone, so an engine may
    choose where pieces are done, and in which order. The calling process keeps the
    results; an engine needs no file system.

    Raises:
        TypeError: By `evaluate` and `certify`, for an engine without `started`.

    Example:

    >>> from contextlib import contextmanager
    >>> class Printing:
    ...     @contextmanager
    ...     def started(self, work):
    ...         def do(pieces):
    ...             for piece in pieces:
    ...                 print("doing", piece)
    ...                 yield from ((piece, result) for result in work(piece))
    ...
    ...         yield do
    >>> with Printing().started(lambda number: [number, -number]) as do:
    ...     results = list(do([3]))
    doing 3
    >>> results
    [(3, 3), (3, -3)]
    """

    def started(self, work: Work) -> AbstractContextManager[Do]:
        """Prepares to work; the end of the context ends all that was started.

        Args:
            work: Function from a piece of work to its results, one or several or none.
                Each worker gets it once; it can keep objects from one piece for the
                next.

        Returns:
            A context of a function from pieces of work to pairs of a piece and one of
            its results, as they come. A piece is taken from its iterator when a worker
            is free.

        Raises:
            Exception: Of any type, what `work` raises, as it is. The function raises
                it, not `started`. It ends the work on all pieces.
        """
