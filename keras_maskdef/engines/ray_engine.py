"""Work on a Ray cluster."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_maskdef.core.arguments import check_positive_int
from keras_maskdef.core.extras import require
from keras_maskdef.engines._cluster import (
    Resources,
    Share,
    environment,
    settings,
    share,
)
from keras_maskdef.engines._pool import Pool
from keras_maskdef.engines._ray_worker import RayWorker
from keras_maskdef.engines.engine import Do, Work
from keras_maskdef.engines.shipping import pack


class RayEngine:
    """Does pieces of work on the workers of a Ray cluster.

    Each worker is a separate process. It gets the models once, and then one piece of
    work after the other, with the images of that piece. If a worker is killed, another
    repeats its piece, and a new worker takes its place as soon as there is room. All
    results come back to this process, and only it writes them to files: the machines
    need no file system in common, only the same packages. If others use the cluster
    too, workers begin as there is room; while there is none, a warning says what is
    awaited. Warnings of workers are given in this process.

    Args:
        workers: Integer, at most one for each GPU of the cluster or, where it has none,
            for each core; the most by default. They share the cores that are free when
            work begins.
        address: Of a running cluster, as `ray.init` takes it, such as `"auto"` for the
            cluster of this machine. By default the environment's `RAY_ADDRESS`, else a
            cluster on this machine for this work only. Leave it out after a `ray.init`
            in this process, whose cluster is then used.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: When work begins, if the cluster is too small for so many workers,
            or Ray runs in this process with another cluster than at the address.
        ChildProcessError: During work, if three workers ended one after the other, over
            one piece of work or before the first.
        ConnectionError: When work begins, if there is no cluster at the address.

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
        """See `Engine`. Starts and sends nothing before there is a piece to do."""
        ray = require("ray", "ray")
        starts_ray = not ray.is_initialized()
        pool = Pool(ray, lambda: self._team(ray, work))
        try:
            yield pool.do
        finally:
            pool.end()
            if starts_ray:
                ray.shutdown()

    def _team(self, ray: Any, work: Work) -> tuple[Share, Any]:
        """The share of the workers, and a function that starts one."""
        if ray.is_initialized():
            _check_own(ray, self.address)
        packed = pack(work)
        if not ray.is_initialized():
            _connect(ray, self.address)
        everything, free = _resources(ray)
        resources = share(everything, self.workers, free)
        sent, config = ray.put(packed), settings()
        worker = ray.remote(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            runtime_env={"env_vars": environment(resources.cpus)},
        )(RayWorker)
        return resources, lambda: worker.remote(sent, config)


def _resources(ray: Any) -> tuple[list[Resources], list[Resources]]:
    """All resources of each machine, and the free ones."""
    # Ray's public functions give only the sum over all machines.
    free = ray._private.state.available_resources_per_node()
    alive = [node for node in ray.nodes() if node["Alive"]]
    everything = [node["Resources"] for node in alive]
    return everything, [free.get(node["NodeID"], node["Resources"]) for node in alive]


def _check_own(ray: Any, address: str | None) -> None:
    """Checks that the address is not another cluster than that of this process."""
    current = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", current):
        raise ValueError(
            "`address` must be left out where Ray runs already in this process: its "
            f"cluster, at {current}, is used. Received: address={address!r}"
        )


def _connect(ray: Any, address: str | None) -> None:
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    # Workers' output would break the progress bars.
    ray.init(address, log_to_driver=False, logging_level="error")


def _check_reachable(address: str) -> None:
    """Checks that the address answers: Ray itself would try for minutes."""
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
