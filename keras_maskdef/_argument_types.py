"""What the arguments of the command may be."""

import argparse
import math
from pathlib import Path


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
    """An integer where it is one: most architectures count filters."""
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
