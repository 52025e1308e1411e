"""Where commands get images and models from: options and reading."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from keras_maskdef._argument_types import count
from keras_maskdef._image_data import are_numbers

_SHOWN = 8  # classes


def add_data(parser: Any) -> None:
    """The options of every command on a data set."""
    parser.add_argument(
        "--dataset",
        default="sample",
        help="cifar10, mnist, sample, svhn_cropped, tiny_imagenet, tfds:NAME, a folder "
        "with one folder of images per class, or an .npz file of x and y",
    )
    parser.add_argument("--data-dir", help="where the data set is")
    parser.add_argument("--download", action="store_true", help="fetch what is missing")


def add_own_data(parser: Any) -> None:
    """The options of commands on data that may be anybody's."""
    parser.add_argument("--split", help="of the data set, if another than by default")
    text = "that images get, where neither they nor a model have one size"
    parser.add_argument(
        "--image-size", nargs=2, type=count, metavar=("HEIGHT", "WIDTH"), help=text
    )


def add_models(parser: Any) -> None:
    """The options of commands on saved models and the images for them."""
    add_own_data(parser)
    parser.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="lowest and highest value of the images that the models take, where their "
        "layers do not tell",
    )
    text = "file of the names of the models' classes, one a line, in their order"
    parser.add_argument("--classes", type=Path, metavar="FILE", help=text)
    text = "with layers of your own, also from this folder; one at a time"
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help=text,
    )


def load_models(options: argparse.Namespace, paths: Sequence[Path]) -> list[Any]:
    """The saved models, for inference."""
    from keras_maskdef.loading import load_model

    return [load_model(path, options.imports) for path in paths]


def images_for(
    options: argparse.Namespace, models: Sequence[Any], console: Console
) -> tuple[Any, Any]:
    """The images to measure on, as the models take them, and their value range."""
    from keras_maskdef import loading

    names = None if options.classes is None else loading.class_names_of(options.classes)
    with console.status(Text(f"reading {options.dataset}")):
        data, value_range = loading.images_for(
            models,
            options.dataset,
            options.split,
            options.images,
            value_range=options.value_range,
            image_size=options.image_size,
            class_names=names,
            data_dir=options.data_dir,
            download=options.download,
        )
    if "--images" in options.typed and len(data.images) < options.images:
        raise ValueError(
            f"`--images` must be at most {len(data.images)}, as there are no more. "
            f"Received: images={options.images}"
        )
    console.print(_description(options.dataset, data, value_range))
    return data, value_range


def _description(source: str, data: Any, value_range: Any) -> str:
    """What a user can check: a wrong range or order makes every figure wrong."""
    sizes = "x".join(map(str, data.images.shape[1:]))
    low, high = value_range
    shown = [f"{index} {name}" for index, name in enumerate(data.class_names)]
    more = ", ..." if len(shown) > _SHOWN else ""
    text = (
        f"{len(data.images)} images of {source}, {sizes} in [{low:g}, {high:g}], "
        f"{len(shown)} classes"
    )
    if are_numbers(data.class_names):
        return text
    return f"{text}: {', '.join(shown[:_SHOWN])}{more}"
