"""Converts pixels and labels of any source to those of an `ImageData`."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# ITU-R 601, as in TensorFlow and Pillow.
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# Ranges that stored images may be in; the first that fits is taken.
RANGES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))

# The brightest pixel of real images is above this fraction of the integers' range.
_DARK = 1 / 8
Tell = Callable[[str], None]
Size = tuple[int, int]


class ImageDataWarning(UserWarning):
    """Images were changed, left out or interpreted so that they can be used."""


def note(text: str) -> None:
    """Warns the user of something that was done to the images without a request."""
    warnings.warn(text, ImageDataWarning, stacklevel=3)


def silent(text: str) -> None:
    """Reports nothing, as the user requested the change."""


class Wanted(NamedTuple):
    """The channels and the size that images shall have.

    Args:
        channels: 1, 3 or 4; None to keep them.
        size: `(height, width)`; None to keep it.
        tell: Called with a message about every change.
    """

    channels: int | None = None
    size: Size | None = None
    tell: Tell = silent


ANYTHING = Wanted()


def scaled_from(before: str, size: Size) -> str:
    """The message about scaled images."""
    return (
        f"Images of {before} pixels were scaled to {size[0]}x{size[1]}, without "
        "keeping their aspect ratio."
    )


def in_unit_range(name: str, pixels: NDArray[Any], chosen: Any) -> NDArray[np.float32]:
    """Returns stored pixels on [0, 1].

    Unsigned integers of 8 and 16 bits have the range of their dtype. For other dtypes
    the range is the first of [0, 1], [0, 255] and [-1, 1] that holds all pixels.

    Args:
        name: Name of the source, for messages.
        pixels: All images, so that the range does not depend on `chosen`.
        chosen: Which images to return: a slice, or integers.
    """
    if pixels.dtype.kind not in "biuf":
        raise ValueError(
            f"The images of {name} must be numbers. "
            f"Received: images.dtype={pixels.dtype}"
        )
    least, most = float(pixels.min()), float(pixels.max())
    if pixels.dtype in (np.uint8, np.uint16):
        low, high = 0.0, float(np.iinfo(pixels.dtype).max)
        if most < high * _DARK:
            note(
                f"The images of {name} are dark: no value is above {most:g} of "
                f"{high:g}. Store those of another range as floats on [0, 1]."
            )
    else:
        fitting = [(a, b) for a, b in RANGES if a <= least and most <= b]
        if not fitting:
            raise ValueError(
                f"The images of {name} must lie in [0, 1], [0, 255] or [-1, 1], "
                "without NaN. "
                f"Received: images.min()={least:g}, images.max()={most:g}"
            )
        low, high = fitting[0]
        if (low, high) != RANGES[0]:
            note(f"The images of {name} are taken as being on [{low:g}, {high:g}].")
    unit = pixels[chosen].astype(np.float32)
    unit -= low
    unit /= high - low
    return unit


def as_integers(name: str, labels: Any) -> NDArray[np.int64]:
    """Labels as integers `(n,)`, also from a column, one-hot rows or whole floats."""
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    elif array.ndim == 2 and _is_one_hot(array):
        array = array.argmax(axis=1)
    whole = array.dtype.kind in "iub" or (
        array.dtype.kind == "f" and np.array_equal(array, np.rint(array))
    )
    if array.ndim != 1 or not whole:
        raise ValueError(
            f"The labels of {name} must be integers, one for each image, or one-hot "
            f"rows. Received: labels.shape={array.shape}, labels.dtype={array.dtype}"
        )
    return array.astype(np.int64)


def _is_one_hot(rows: NDArray[Any]) -> bool:
    if rows.dtype.kind not in "iufb":
        return False
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def in_channels(images: NDArray[Any], channels: int) -> NDArray[Any]:
    """Converts images of 1 to 4 channels to 1, 3 or 4, in the same dtype.

    Grey is repeated, colours become their luminance, alpha is dropped or set to opaque.
    """
    depth = images.shape[-1]
    if depth == channels:
        return images
    if depth in (2, 4):
        images, depth = images[..., :-1], depth - 1
    if channels == 1 and depth == 3:
        grey = images.astype(np.float32) @ LUMINANCE
        if images.dtype.kind in "iu":
            grey = np.rint(grey)
        return grey.astype(images.dtype)[..., None]
    if channels >= 3 and depth == 1:
        images, depth = np.repeat(images, 3, axis=-1), 3
    if channels == 4 and depth == 3:
        opaque = np.iinfo(images.dtype).max if images.dtype.kind in "iu" else 1
        alpha = np.full_like(images[..., :1], opaque)
        return np.concatenate([images, alpha], axis=-1)
    if depth != channels:
        raise ValueError(
            f"Images of {images.shape[-1]} channels cannot be made ones of {channels}. "
            f"Received: images.shape={images.shape}"
        )
    return images


def resized(images: NDArray[Any], size: Size | None) -> NDArray[np.float32]:
    """One image or a batch, scaled bilinearly as Keras' reader of folders does."""
    import tensorflow as tf

    if size in (None, images.shape[-3:-1]):
        return images.astype(np.float32, copy=False)
    return tf.image.resize(images, size).numpy()
