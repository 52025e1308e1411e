"""The losses that train a sparse feature masker (SFM-Defense, section 4).

With one norm per image, the paper's printed weights (1, 1 and 2.5e-3 for sparsity) make
the all-ones mask optimal, whatever the images. For images `x` in [0, 1] of K values and
a mask that turns them into `x~`,

    L(mask) - L(ones) >= (w3 - w1 * sqrt(K)) * |x - x~|_2

by the Cauchy-Schwarz inequality. The bound is positive where `rho`, defined as
`w1 * sqrt(K) / w3`, is below 1; on CIFAR-10 the printed weights have `rho = 0.14`.

With one norm over the whole tensor of B images, the default of a framework's `norm`,
`rho` is `sqrt(B)` times as large: 1.57 for 128 images, and the printed weights work.
That is `norms="batch"`. Norms per image do not depend on the batch size; the weight of
the reconstruction then follows from `rho`: on CIFAR-10 the mean of the mask was 0.61 at
`rho` 1.07 and 0.26 at 1.15 (a small network, eight alternations).
"""

from typing import Any

from keras import ops

NORMS = ("image", "batch")


def sparsity(masked: Any, norms: str = "image") -> Any:
    """The L1 norm of masked images.

    Args:
        masked: Masked floating point images, `(batch, ...)`.
        norms: `"image"`: the mean of one norm per image. `"batch"`: one norm over the
            whole tensor, which is their sum.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: For unknown `norms`.

    Example:

    >>> import numpy as np
    >>> from keras_maskdef import losses
    >>> float(losses.sparsity(np.full((2, 2, 2, 1), 0.5)))
    2.0

    Reference:
        Yu et al.: SFM-Defense (2022), equation 3.
    """
    return _reduce(ops.sum(ops.abs(_flat(masked)), axis=1), norms)


def semantic(features: Any, masked_features: Any, norms: str = "image") -> Any:
    """One minus the cosine between a classifier's logits for images and masked images.

    Where either vector is zero, the cosine counts as zero and the gradient is zero.

    Args:
        features: The classifier's logits for the images, `(batch, classes)`.
        masked_features: Its logits for the masked images.
        norms: `"image"`: the mean over the batch. `"batch"`: the sum.

    Returns:
        A float32 scalar; per image from 0 (the same direction) to 2.

    Raises:
        ValueError: For unknown `norms`.

    Example:

    >>> import numpy as np
    >>> from keras_maskdef import losses
    >>> float(losses.semantic(np.array([[1.0, 0.0]]), np.array([[0.0, 3.0]])))
    1.0

    Reference:
        Yu et al.: SFM-Defense (2022), equation 4.
    """
    first, second = _flat(features), _flat(masked_features)
    cosine = ops.sum(_direction(first) * _direction(second), axis=1)
    return _reduce(1.0 - cosine, norms)


def reconstruction(images: Any, masked: Any, norms: str = "image") -> Any:
    """The L2 norm of the difference between images and masked images.

    The gradient is zero where they are equal, as with a mask of ones.

    Args:
        images: Floating point images `(batch, ...)`.
        masked: The same images, masked.
        norms: `"image"`: the mean of one norm per image. `"batch"`: one norm over the
            whole tensor.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: For unknown `norms`.

    Example:

    >>> import numpy as np
    >>> from keras_maskdef import losses
    >>> images = np.ones((2, 2, 2, 1))
    >>> float(losses.reconstruction(images, 0.5 * images))
    1.0

    Reference:
        Yu et al.: SFM-Defense (2022), equation 5.
    """
    squares = ops.sum(ops.square(_flat(images) - _flat(masked)), axis=1)
    _check(norms)
    if norms == "batch":
        return _root(ops.sum(squares))
    return ops.mean(_root(squares))


def _flat(values: Any) -> Any:
    values = ops.cast(values, "float32")
    return ops.reshape(values, (ops.shape(values)[0], -1))


def _reduce(per_image: Any, norms: str) -> Any:
    _check(norms)
    return ops.mean(per_image) if norms == "image" else ops.sum(per_image)


def _direction(vectors: Any) -> Any:
    lengths = _root(ops.sum(ops.square(vectors), axis=1, keepdims=True))
    return vectors / ops.where(lengths > 0, lengths, 1.0)


def _root(squares: Any) -> Any:
    """A square root whose gradient at zero is zero, not infinite."""
    positive = squares > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)


def _check(norms: str) -> None:
    if norms not in NORMS:
        raise ValueError(
            f"`norms` must be one of {', '.join(map(repr, NORMS))}. "
            f"Received: norms={norms!r}"
        )
