"""`--engine` of the commands whose work can be done elsewhere."""

import argparse
from typing import Any

from keras_maskdef._argument_types import count

_OF_RAY = ("workers", "address")


def add_engine(parser: Any) -> None:
    """The options of an engine."""
    where = parser.add_argument_group("where")
    text = "in this process, or on a Ray cluster; the results are the same"
    where.add_argument("--engine", choices=("local", "ray"), default="local", help=text)
    text = "of the cluster (default: one for each GPU; for each core if it has none)"
    where.add_argument("--workers", type=count, help=text)
    text = "of a running cluster, or auto (default: $RAY_ADDRESS, or a cluster started "
    where.add_argument("--address", help=f"{text} here for this run)")


def engine_of(options: argparse.Namespace) -> Any:
    """The engine that was asked for.

    Raises:
        ValueError: For an option of another engine.
        ImportError: If its library is not installed.
    """
    from keras_maskdef.engines import LocalEngine, RayEngine

    given = {name: getattr(options, name) for name in _OF_RAY}
    if options.engine == "ray":
        return RayEngine(**given)
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"`--{name}` is an option of `--engine ray`. "
                f"Received: engine={options.engine}, {name}={value}"
            )
    return LocalEngine()
