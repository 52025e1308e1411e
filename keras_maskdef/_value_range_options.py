"""`--value-range` of the commands on saved models, whose inputs need not be [0, 1]."""

import argparse
from typing import Any

from keras_maskdef.layers._value_range import UNIT, check_value_range, from_unit


def add_value_range(parser: Any) -> None:
    """The option; data sets are read in [0, 1]."""
    parser.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        default=list(UNIT),
        metavar=("LOW", "HIGH"),
        help="lowest and highest value of the images that the models take",
    )


def as_taken(options: argparse.Namespace, test: Any) -> Any:
    """The data, with the images in the range that the models take.

    Raises:
        ValueError: If there is no such range.
    """
    value_range = check_value_range(options.value_range)
    return test._replace(images=from_unit(test.images, value_range))
