"""What every attack asks of its arguments."""

from typing import Any

import numpy as np


def check_attack_inputs(images: Any, labels: Any, epsilon: float) -> tuple:
    """Images in [0, 1], one label each, a size above zero; as arrays."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim != 4 or not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            "`images` must be a floating point array (n, height, width, channels). "
            f"Received: images.shape={images.shape}, images.dtype={images.dtype}"
        )
    if len(images) and not (images.min() >= 0.0 and images.max() <= 1.0):
        raise ValueError(
            "`images` must lie in [0, 1], without NaN. Received: "
            f"images.min()={images.min()}, images.max()={images.max()}"
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"`labels` must be {len(images)} integers, one for each image. "
            f"Received: labels.shape={labels.shape}, labels.dtype={labels.dtype}"
        )
    if not np.isfinite(epsilon) or epsilon <= 0:
        raise ValueError(
            f"`epsilon` must be a number above 0. Received: epsilon={epsilon}"
        )
    return images.astype("float32", copy=False), labels.astype("int64", copy=False)


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Labels that the model has classes for."""
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"`labels` must be from 0 to {classes - 1} for a model of {classes} "
            f"classes. Received: labels.min()={labels.min()}, "
            f"labels.max()={labels.max()}"
        )
