"""The samplings of `RandomGridMask`: which cells of a grid are visible.

A sampling takes the numbers of views, images and cells, the mask rate and a function
that draws uniform numbers. It returns booleans `(views, batch, cells)`, true where a
cell is visible. The rate is one number, or an array `(views, batch, 1)`.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

Uniform = Callable[..., Any]


def bernoulli(
    views: int, batch: Any, cells: Any, mask_rate: Any, uniform: Uniform
) -> Any:
    """Hides each cell independently (MAD)."""
    return uniform(views, batch, cells) >= mask_rate


def fixed_count(
    views: int, batch: Any, cells: Any, mask_rate: Any, uniform: Uniform
) -> Any:
    """Hides the same number of cells in each view."""
    order = _permutations(views, batch, cells, uniform)
    hidden = ops.round(ops.cast(cells, "float32") * mask_rate)
    return order >= ops.cast(hidden, order.dtype)


def partition(
    views: int, batch: Any, cells: Any, mask_rate: Any, uniform: Uniform
) -> Any:
    """Shows disjoint groups of cells in consecutive views."""
    groups = partition_groups(mask_rate)
    if not groups:
        return ops.zeros((views, batch, cells), dtype="bool")
    splits = -(-views // groups)
    order = _permutations(splits, batch, cells, uniform)
    # The random turn gives every group the same chance of being a larger one.
    turn = ops.cast(uniform(splits, batch, 1) * groups, order.dtype)
    group = (order * groups // ops.cast(cells, order.dtype) + turn) % groups
    number = ops.reshape(ops.arange(groups, dtype=order.dtype), (-1, 1, 1))
    keep = ops.expand_dims(group, 1) == number
    return ops.reshape(keep, (splits * groups, batch, cells))[:views]


SAMPLINGS = {
    "bernoulli": bernoulli,
    "fixed_count": fixed_count,
    "partition": partition,
}


def partition_groups(mask_rate: float) -> int:
    """Returns the number of disjoint groups at a rate; 0 if all cells are hidden."""
    if mask_rate == 1.0:
        return 0
    exact = 1.0 / (1.0 - mask_rate)
    groups = round(exact)
    # Accepts 0.667 for 2/3.
    if abs(exact - groups) > 0.005 * groups:
        near = " or ".join(f"{1 - 1 / n:.4g}" for n in (int(exact), int(exact) + 1))
        raise ValueError(
            '`mask_rate` with sampling="partition" must be 1 - 1/n for a whole '
            f"number n, such as {near}. Received: mask_rate={mask_rate}"
        )
    return groups


def _permutations(count: int, batch: Any, cells: Any, uniform: Uniform) -> Any:
    return ops.argsort(uniform(count, batch, cells), axis=-1)
