"""The filter layers in a graph of TensorFlow, against what else would compute them.

See paired.py for how ratios are taken. A ratio below 1 is a layer that is faster.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from paired import Call, record_ratio

from keras_maskdef import BitDepthReduction, MedianFilter, NonLocalMeans

SIZES = ((256, 32, 32, 3), (256, 28, 28, 1), (64, 64, 64, 3), (16, 224, 224, 3))
EVERY_SIZE = pytest.mark.parametrize(
    "shape", SIZES, ids=lambda shape: "x".join(map(str, shape))
)


def in_a_graph(function: Callable, shape: tuple[int, ...], xla: bool = False) -> Call:
    images = tf.constant(np.random.default_rng(0).random(shape, "float32"))
    compiled = tf.function(function, jit_compile=xla)
    return lambda: compiled(images)


def sorted_pair(a: Any, b: Any) -> tuple[Any, Any]:
    return tf.minimum(a, b), tf.maximum(a, b)


# Pairs of the nine values of a window to sort in turn; then the fifth is the median.
EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8)),
    *((0, 3), (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)


def plain_network(images: Any) -> Any:
    """The exact 3x3 median as 19 exchanges, each a minimum and a maximum."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    height, width = images.shape[1:3]
    values = [
        padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)
    ]
    for a, b in EXCHANGES:
        values[a], values[b] = sorted_pair(values[a], values[b])
    return values[4]


MEDIAN_RIVALS = {
    "plain TensorFlow": (plain_network, False),
    "plain TensorFlow with XLA": (plain_network, True),
    "our operations": (MedianFilter(3, implementation="ops"), False),
    "our operations with XLA": (MedianFilter(3, implementation="ops"), True),
}


@EVERY_SIZE
@pytest.mark.parametrize("rival", MEDIAN_RIVALS)
def test_median_3(benchmark: Any, shape: tuple[int, ...], rival: str) -> None:
    other, xla = MEDIAN_RIVALS[rival]
    ours = in_a_graph(MedianFilter(3), shape)
    case = f"MedianFilter(3) over {rival}"
    record_ratio(benchmark, case, shape, ours, in_a_graph(other, shape, xla), 31)


@pytest.mark.parametrize("size", [2, 4, 5, 6, 7])
def test_other_medians(benchmark: Any, size: int) -> None:
    ours = in_a_graph(MedianFilter(size), SIZES[0])
    other = in_a_graph(MedianFilter(size, implementation="ops"), SIZES[0])
    case = f"MedianFilter({size}) over our operations"
    record_ratio(benchmark, case, SIZES[0], ours, other, pairs=11)


def plain_rounding(images: Any) -> Any:
    return tf.round(images * 31.0) / 31.0


BIT_DEPTH_RIVALS = {
    "plain TensorFlow": plain_rounding,
    "the kernel": BitDepthReduction(5, implementation="native"),
    "a copy": lambda images: images + 0.0,
}


@EVERY_SIZE
@pytest.mark.parametrize("rival", BIT_DEPTH_RIVALS)
def test_bit_depth(benchmark: Any, shape: tuple[int, ...], rival: str) -> None:
    ours = in_a_graph(BitDepthReduction(5), shape)
    other = in_a_graph(BIT_DEPTH_RIVALS[rival], shape)
    case = f"BitDepthReduction(5) over {rival}"
    record_ratio(benchmark, case, shape, ours, other, pairs=31)


@pytest.mark.parametrize("xla", [False, True])
def test_nl_means(benchmark: Any, xla: bool) -> None:
    shape = (16, 32, 32, 3)
    ours = in_a_graph(NonLocalMeans(4), shape)
    other = in_a_graph(NonLocalMeans(4, implementation="ops"), shape, xla)
    case = f"NonLocalMeans(4) over our operations{' with XLA' if xla else ''}"
    record_ratio(benchmark, case, shape, ours, other, pairs=7)
