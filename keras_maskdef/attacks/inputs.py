"""Checks of arguments that all attacks share."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.core.arguments import (
    as_array,
    check_fraction,
    check_positive,
    check_positive_int,
)
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.value_range import UNIT, ValueRange

OPTION_CHECKS = {
    "steps": check_positive_int,
    "step_size": check_positive,
    "binary_search_steps": check_positive_int,
    "initial_const": check_positive,
    "restarts": check_positive_int,
    "probability": check_fraction,
}


def check_attack_inputs(
    images: Any,
    labels: Any,
    epsilons: Sequence[float],
    value_range: ValueRange = UNIT,
) -> tuple:
    """Checks images, labels and epsilons; returns images and labels as arrays."""
    images = check_image_values(images, value_range)
    labels = check_labels(labels, len(images))
    if not len(epsilons):
        raise ValueError("`epsilon` must be one size or several. Received: epsilon=[]")
    for epsilon in epsilons:
        if not np.isfinite(epsilon) or epsilon <= 0:
            raise ValueError(
                f"`epsilon` must be a number above 0. Received: epsilon={epsilon}"
            )
    return images, labels


def check_image_values(images: Any, value_range: ValueRange = UNIT) -> np.ndarray:
    """Checks images and their range; returns them as a float32 array."""
    images = as_array("images", images)
    if images.ndim != 4 or not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            "`images` must be a floating point array (n, height, width, channels). "
            f"Received: images.shape={images.shape}, images.dtype={images.dtype}"
        )
    images = images.astype("float32", copy=False)
    low, high = value_range
    # The ends of the range are rounded to float32 like the images.
    if len(images) and not (images.min() >= low and images.max() <= high):
        raise ValueError(
            f"`images` must lie in [{low:g}, {high:g}], without NaN; give "
            "`value_range` where they lie elsewhere. Received: "
            f"images.min()={images.min()}, images.max()={images.max()}"
        )
    return images


def check_attack(info: AttackInfo, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks that the attack runs here; returns its options that are not None."""
    title = f"{info.name} ({info.norm}, {info.library})"
    backend = keras.backend.backend()
    if backend not in info.backends:
        raise ValueError(
            f"{title} runs on {' and '.join(info.backends)} only. "
            f"Received: keras.backend.backend()={backend!r}"
        )
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in given.items():
        if key not in info.options:
            names = ", ".join(f"`{name}`" for name in info.options) or "no options"
            raise ValueError(f"{title} has {names}. Received: {key}={value!r}")
    return {key: OPTION_CHECKS[key](key, value) for key, value in given.items()}
