"""Loads the images and models of a command."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SHOWN = 8  # classes


def load(options: argparse.Namespace, console: Any, split: str) -> Any:
    """Loads images in [0, 1]."""
    from rich.text import Text

    from keras_maskdef import datasets

    size = getattr(options, "image_size", None)
    with console.status(Text(f"reading {options.dataset}, {split}")):
        return datasets.load(
            options.dataset,
            split,
            options.data_dir,
            options.download,
            image_size=size,
        )


def load_models(options: argparse.Namespace, paths: Sequence[Path]) -> list[Any]:
    """Loads saved models, for inference."""
    from keras_maskdef.loading import load_model

    return [load_model(path, options.imports) for path in paths]


def images_for(
    options: argparse.Namespace, models: Sequence[Any], console: Any
) -> tuple[Any, Any]:
    """Loads images as the models take them; returns them and their value range."""
    from rich.text import Text

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
    """Describes the images, as a wrong range or class order ruins every figure."""
    from keras_maskdef.core.image_data import are_numbers

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
