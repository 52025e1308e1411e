"""What an engine is."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

Work = Callable[[Any], Iterable[Any]]
Do = Callable[[Iterable[Any]], Iterator[tuple[Any, Any]]]


class Engine(Protocol):
    """Does pieces of work that do not depend on each other.

    `evaluate` and `certify` are lists of such pieces: an attack on a batch, a proof for
    some images. What a piece results in depends on the piece alone, so that an engine
    is free to choose where it is done, and in which order. The process that asked for
    the pieces keeps their results; an engine needs no file system.

    Raises:
        TypeError: By `evaluate` and `certify`, for an engine without `started`.

    Example:

    >>> from contextlib import contextmanager
    >>> class Told:
    ...     @contextmanager
    ...     def started(self, work):
    ...         def do(pieces):
    ...             for piece in pieces:
    ...                 print("doing", piece)
    ...                 yield from ((piece, result) for result in work(piece))
    ...
    ...         yield do
    >>> with Told().started(lambda number: [number, -number]) as do:
    ...     found = list(do([3]))
    doing 3
    >>> found
    [(3, 3), (3, -3)]
    """

    def started(self, work: Work) -> AbstractContextManager[Do]:
        """Makes ready to work; all that was started is ended with the context.

        Args:
            work: From a piece of work to its results, one or several or none. It is
                taken to each worker once; what is made in one piece can be kept in it
                for the next.

        Returns:
            A context of a function from pieces of work to pairs of a piece and one of
            its results, as they come. Pieces are taken from their iterator when there
            is somebody to do them.

        Raises:
            Exception: Of any type, what `work` raises, as it is; from the function, not
                from `started`. It ends the work on all pieces.
        """
