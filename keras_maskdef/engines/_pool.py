"""Hands out pieces of work, and again where a worker was killed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from keras_maskdef.engines._shipping import pack

# A piece that kills whoever does it is not given to everybody.
_TRIES = 3


@dataclass(eq=False)
class _Job:
    """What a worker is busy with.

    Args:
        piece: A piece of work; none while it makes ready for the first.
        lost: How many workers were killed over it.
    """

    piece: Any = None
    lost: int = 0


class Pool:
    """Workers of a Ray cluster, hired when there is something to do.

    Args:
        ray: The module.
        team: Gives the number of workers, and a function that hires one.
    """

    def __init__(
        self, ray: Any, team: Callable[[], tuple[int, Callable[[], Any]]]
    ) -> None:
        self._ray, self._team = ray, team
        self._hire: Callable[[], Any] | None = None
        # All of them: Control-C can come while one is neither idle nor busy.
        self._workers: list[Any] = []
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, _Job]] = {}

    def do(self, pieces: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Pairs of a piece and one of its results, as they come."""
        coming = (_Job(piece) for piece in pieces)
        waiting = deque(islice(coming, 1))
        if waiting and self._hire is None:
            count, self._hire = self._team()
            for _ in range(count):
                self._make_ready(_Job())
        while waiting or any(job.piece is not None for _, job in self._busy.values()):
            while waiting and self._idle:
                self._give(self._idle.pop(), waiting.popleft())
                waiting.extend(islice(coming, 1))
            job, results = self._ended()
            if results is None:
                waiting.appendleft(job)
            for result in results or ():
                yield job.piece, result

    def end(self) -> None:
        """Ends all workers, whatever they do."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers, self._idle, self._busy = [], [], {}

    def _make_ready(self, job: _Job) -> None:
        """With a new worker."""
        assert self._hire is not None
        worker = self._hire()
        self._workers.append(worker)
        self._busy[worker.ready.remote()] = worker, job

    def _give(self, worker: Any, job: _Job) -> None:
        self._busy[worker.do.remote(pack(job.piece))] = worker, job

    def _ended(self) -> tuple[_Job, list[Any] | None]:
        """The next job that comes to its end, and its results if its worker lives."""
        errors = self._ray.exceptions
        (ref,), _ = self._ray.wait(list(self._busy), num_returns=1)
        worker, job = self._busy[ref]
        try:
            results = self._ray.get(ref)
        except errors.RayTaskError as error:
            # The same anywhere: it is that of the work, not of the cluster.
            raise error.cause from error
        except (
            errors.RayActorError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
        ) as error:
            del self._busy[ref]
            self._replace(worker, job, error)
            return job, None if job.piece is not None else []
        del self._busy[ref]
        self._idle.append(worker)
        return job, results or []

    def _replace(self, worker: Any, job: _Job, error: Exception) -> None:
        self._workers.remove(worker)
        self._ray.kill(worker)  # it may only be out of reach
        job.lost += 1
        if job.lost == _TRIES:
            raise ChildProcessError(
                f"A piece of work ended {_TRIES} workers, one after the other, mostly "
                "for want of memory: take smaller batches, or fewer workers on a "
                f"machine. What was done before is kept. The last one: {error}"
            ) from error
        self._make_ready(_Job() if job.piece is not None else job)
