"""Work on a Ray cluster."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_maskdef._extra import require
from keras_maskdef.engines._cluster import environment, settings, share
from keras_maskdef.engines._pool import Pool
from keras_maskdef.engines._ray_worker import RayWorker
from keras_maskdef.engines._shipping import pack
from keras_maskdef.engines.engine import Do, Work
from keras_maskdef.layers._arguments import check_positive_int


class RayEngine:
    """Does pieces of work on the workers of a Ray cluster.

    Each worker is a process of its own. It is sent the models once, and then one piece
    of work after the other, with the images of that piece. Where one is killed, its
    piece is done again by another, and a new worker takes its place as soon as there is
    room. All results come back to this process, which alone writes them down: the
    machines need no file system in common, only the same packages.

    Args:
        workers: Integer, at most one for each GPU of the cluster or, where it has none,
            for each core; as many by default. They divide the cores between them.
        address: Of a running cluster, as `ray.init` takes it, such as `"auto"` for that
            of this machine. By default what the environment's `RAY_ADDRESS` says, and
            else a cluster on this machine that is there for this work only.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If there is no room for so many workers, known when work begins.
        ConnectionError: If there is no cluster at the address, known likewise.

    Example:

    >>> engine = RayEngine(workers=2)  # doctest: +SKIP
    >>> kmd.evaluate(defended, data, attacks, engine=engine)  # doctest: +SKIP

    Reference:
        Moritz et al.: Ray, a Distributed Framework for Emerging AI Applications, OSDI
        2018.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        require("ray", "ray")
        if workers is not None:
            check_positive_int("workers", workers)
        self.workers, self.address = workers, address

    @contextmanager
    def started(self, work: Work) -> Iterator[Do]:
        """See `Engine`. Nothing is started, nor sent, before there is a piece to do."""
        ray = require("ray", "ray")
        own = not ray.is_initialized()
        pool = Pool(ray, lambda: self._team(ray, work))
        try:
            yield pool.do
        finally:
            pool.end()
            if own:
                ray.shutdown()

    def _team(self, ray: Any, work: Work) -> tuple[int, Any]:
        """How many workers there are to be, and what hires one."""
        packed = pack(work)
        if not ray.is_initialized():
            _connect(ray, self.address)
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        each = share(alive, self.workers)
        sent, config = ray.put(packed), settings()
        worker = ray.remote(
            num_cpus=each.cpus,
            num_gpus=each.gpus,
            runtime_env={"env_vars": environment(each.cpus)},
        )(RayWorker)
        return each.workers, lambda: worker.remote(sent, config)


def _connect(ray: Any, address: str | None) -> None:
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    # Workers' output would break the progress bars.
    ray.init(address, log_to_driver=False, logging_level="error")


def _check_reachable(address: str) -> None:
    """Where nobody answers, Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ConnectionError(
            "`address` must be HOST:PORT of a running Ray cluster, or auto. "
            f"Received: address={address!r}, where nobody answers ({error})"
        ) from error
