"""Hands out pieces of work, and repeats a piece whose worker was killed."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from keras_maskdef.engines._cluster import Share
from keras_maskdef.engines.shipping import pack

# A piece that kills its workers is not given to all of them.
_TRIES = 3
# Seconds. Importing Keras and loading models takes half of it on a busy machine.
_PATIENCE = 60


@dataclass(eq=False)
class _Job:
    """The job of a worker.

    Args:
        piece: A piece of work; `None` while the worker makes ready for its first.
        lost: How many workers were killed over it.
    """

    piece: Any = None
    lost: int = 0


class Pool:
    """Workers of a Ray cluster, started when there is work.

    Args:
        ray: The module.
        team: Returns the share of the workers, and a function that starts one.
    """

    def __init__(
        self, ray: Any, team: Callable[[], tuple[Share, Callable[[], Any]]]
    ) -> None:
        self._ray, self._team = ray, team
        self._share: Share | None = None
        self._hire: Callable[[], Any] | None = None
        # Warnings that were given, as Python keeps them for a module.
        self._warned: dict[Any, Any] = {}
        # All workers: Control-C can come while one is neither idle nor busy.
        self._workers: list[Any] = []
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, _Job]] = {}

    def do(self, pieces: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yields pairs of a piece and one of its results, as they come."""
        coming = (_Job(piece) for piece in pieces)
        waiting = deque(islice(coming, 1))
        if waiting and self._hire is None:
            self._share, self._hire = self._team()
            for _ in range(self._share.workers):
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
        """Ends all workers, also busy ones."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers, self._idle, self._busy = [], [], {}

    def _make_ready(self, job: _Job) -> None:
        """Starts a new worker for a job."""
        assert self._hire is not None
        worker = self._hire()
        self._workers.append(worker)
        self._busy[worker.ready.remote()] = worker, job

    def _give(self, worker: Any, job: _Job) -> None:
        self._busy[worker.do.remote(pack(job.piece))] = worker, job

    def _ended(self) -> tuple[_Job, list[Any] | None]:
        """The next job that ends, with its results unless its worker died."""
        errors = self._ray.exceptions
        ref = self._next()
        worker, job = self._busy[ref]
        try:
            results, warned = self._ray.get(ref)
        except errors.RayTaskError as error:
            # An error of the work, not of the cluster: any worker would raise it.
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
        for text, category, file, line in warned:
            warnings.warn_explicit(text, category, file, line, registry=self._warned)
        return job, results

    def _next(self) -> Any:
        """Waits for the next call that ends."""
        while True:
            ended, _ = self._ray.wait(
                list(self._busy), num_returns=1, timeout=_PATIENCE
            )
            if ended:
                return ended[0]
            if all(job.piece is None for _, job in self._busy.values()):
                self._say_what_is_awaited()

    def _say_what_is_awaited(self) -> None:
        share, free = self._share, self._ray.available_resources()
        assert share is not None
        gpu = " and a GPU" if share.gpus else ""
        warnings.warn(
            f"no worker is ready after {_PATIENCE} s: they wait for room, or load "
            f"slowly. Asked for: {share.workers}, with cores: {share.cpus}{gpu} each. "
            f"Free on the cluster: cores: {free.get('CPU', 0):g}, GPUs: "
            f"{free.get('GPU', 0):g}",
            stacklevel=2,
        )

    def _replace(self, worker: Any, job: _Job, error: Exception) -> None:
        self._workers.remove(worker)
        self._ray.kill(worker)  # it may only be unreachable
        job.lost += 1
        if job.lost == _TRIES:
            assert self._share is not None
            when = "over one piece of work" if job.piece is not None else "at its start"
            raise ChildProcessError(
                "`workers` must have the memory that they need, each for itself: "
                f"{_TRIES} of them ended one after the other, each {when}. Take fewer "
                "workers on a machine, or smaller batches. What was done before is "
                f"kept. Received: workers={self._share.workers}; the last one: {error}"
            ) from error
        self._make_ready(_Job() if job.piece is not None else job)
