"""Options that several sub-commands share, and checks of their arguments."""

import argparse
import math
from pathlib import Path
from typing import Any


def add_data(parser: Any) -> None:
    """Adds options of every command on a data set."""
    parser.add_argument(
        "--dataset",
        default="sample",
        help="cifar10, mnist, sample, svhn_cropped, tiny_imagenet, tfds:NAME, a folder "
        "with one folder of images per class, or an .npz file of x and y",
    )
    parser.add_argument("--data-dir", help="folder of the data set")
    parser.add_argument("--download", action="store_true", help="download missing data")
    parser.add_argument("--seed", type=int, default=0)


def add_own_data(parser: Any) -> None:
    """Adds options of commands on a user's data."""
    add_data(parser)
    parser.add_argument("--split", help="split of the data set, if not the default")
    text = "size to resize images to, if neither they nor a model have one size"
    parser.add_argument(
        "--image-size", nargs=2, type=count, metavar=("HEIGHT", "WIDTH"), help=text
    )


def add_models(parser: Any) -> None:
    """Adds options of commands on saved models and images for them."""
    add_own_data(parser)
    parser.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="lowest and highest value of the images that the models take, if their "
        "layers do not determine it",
    )
    text = "file with the names of the models' classes, one per line, in order"
    parser.add_argument("--classes", type=Path, metavar="FILE", help=text)
    text = "module with custom layers, also from this folder; may be repeated"
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help=text,
    )


def add_engine(parser: Any) -> None:
    """Adds options of commands that can run on a cluster."""
    where = parser.add_argument_group("engine")
    text = "run in this process or on a Ray cluster; the results are the same"
    where.add_argument("--engine", choices=("local", "ray"), default="local", help=text)
    text = "workers of the cluster (default: one per GPU, or per core without GPUs)"
    where.add_argument("--workers", type=count, help=text)
    text = "address of a running cluster, or auto (default: $RAY_ADDRESS, or a cluster "
    where.add_argument("--address", help=f"{text}started here for this run)")


def engine_of(options: argparse.Namespace) -> Any:
    """The engine that the options ask for.

    Raises:
        ValueError: For an option of another engine.
        ImportError: If its library is not installed.
    """
    from keras_maskdef.engines import LocalEngine, RayEngine

    given = {name: getattr(options, name) for name in ("workers", "address")}
    if options.engine == "ray":
        return RayEngine(**given)
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"`--{name}` is an option of `--engine ray`. "
                f"Received: engine={options.engine}, {name}={value}"
            )
    return LocalEngine()


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {text}")
    return value


def rate(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be in [0, 1), received {text}")
    return value


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, received {text}")
    return value


def width(text: str) -> float:
    """A number; a whole one as an integer, as most architectures count filters."""
    value = positive(text)
    return int(value) if value.is_integer() else value


def epsilon(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be in (0, 1], received {text}")
    return value


def keras_file(text: str) -> Path:
    if not text.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"must end in .keras, received {text}")
    if not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"must lie in a folder, received {text}")
    return Path(text)


def shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(
            f"must be I/N with I from 1 to N, received {text}"
        )
    return int(part), int(parts)


def option(text: str) -> tuple[str, str, float]:
    attack, _, setting = text.partition(":")
    name, _, number = setting.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (attack and name and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"must be NAME:OPTION=NUMBER, received {text}")
    return attack, name, int(value) if value.is_integer() else value
