"""Other people's pixels and labels as those of an `ImageData`."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# ITU-R 601, as in TensorFlow and Pillow.
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# Of each kind of number that images are stored in: the ranges it may be in.
RANGES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))

# The brightest pixel of real images has more of the range of its integers.
_DARK = 1 / 8
Tell = Callable[[str], None]
Size = tuple[int, int]


class ImageDataWarning(UserWarning):
    """What was done to images so that they could be used."""


def note(text: str) -> None:
    """Tells a user what was done to the images without being asked for."""
    warnings.warn(text, ImageDataWarning, stacklevel=3)


def silent(text: str) -> None:
    """Tells nothing, as what was done was asked for."""


class Wanted(NamedTuple):
    """What images shall be like.

    Args:
        channels: 1, 3 or 4; None for what they have.
        size: `(height, width)`; None for what they have.
        tell: Is told of what was changed.
    """

    channels: int | None = None
    size: Size | None = None
    tell: Tell = silent


ANYTHING = Wanted()


def scaled_from(before: str, size: Size) -> str:
    """What to tell of scaling."""
    return (
        f"Images of {before} pixels were scaled to {size[0]}x{size[1]}, without "
        "keeping their aspect ratio."
    )


def in_unit_range(name: str, pixels: NDArray[Any], chosen: Any) -> NDArray[np.float32]:
    """Stored pixels on [0, 1].

    Integers of 8 and 16 bits have a range of their own. That of others is the first of
    [0, 1], [0, 255] and [-1, 1] that holds them all.

    Args:
        name: Of the source, for messages.
        pixels: All images, so that the range does not depend on those chosen.
        chosen: Which of them to return: a slice, or integers.
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
    """Labels as integers `(n,)`: of a column, of one-hot rows, of whole floats."""
    found = np.asarray(labels)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    elif found.ndim == 2 and _is_one_hot(found):
        found = found.argmax(axis=1)
    whole = found.dtype.kind in "iub" or (
        found.dtype.kind == "f" and np.array_equal(found, np.rint(found))
    )
    if found.ndim != 1 or not whole:
        raise ValueError(
            f"The labels of {name} must be integers, one for each image, or one-hot "
            f"rows. Received: labels.shape={found.shape}, labels.dtype={found.dtype}"
        )
    return found.astype(np.int64)


def _is_one_hot(rows: NDArray[Any]) -> bool:
    if rows.dtype.kind not in "iufb":
        return False
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def in_channels(images: NDArray[Any], channels: int) -> NDArray[Any]:
    """Images with 1, 3 or 4 channels in place of 1 to 4, in their own dtype.

    Grey is repeated, colours become their luminance, alpha is dropped or opaque.
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
