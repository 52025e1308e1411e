"""The comparator networks behind the CUDA medians, proved on every pattern of 0 and 1.

By the 0-1 principle a network that gives the right place to 0s and 1s does so for any
values. Rows are sorted when they come in, so there are `size + 1` patterns a row and
2,097,152 for a window of 7 x 7.
"""

import numpy as np
import pytest
from keras_maskdef.kernels import _cuda_networks


def run(network: list[tuple[int, int, bool, bool]], values: list[np.ndarray]) -> None:
    for a, b, is_low_needed, is_high_needed in network:
        low, high = values[a] & values[b], values[a] | values[b]
        # A value that nothing needs is spoilt, to show that nothing does.
        values[a] = low if is_low_needed else ~low
        values[b] = high if is_high_needed else ~high


@pytest.mark.parametrize("size", range(2, 8))
def test_median_of_sorted_rows(size: int) -> None:
    network, result = _cuda_networks.median_of_sorted_rows(size)
    ones = np.indices((size + 1,) * size, dtype=np.int8).reshape(size, -1)
    values = [ones[row] >= size - rank for row in range(size) for rank in range(size)]
    run(_cuda_networks.needed(network, [result]), values)
    # The upper median is 1 where the values from its rank up are.
    expected = ones.sum(axis=0, dtype=int) >= size * size - size * size // 2
    np.testing.assert_array_equal(values[result], expected)


@pytest.mark.parametrize("size", range(2, 8))
def test_sorters(size: int) -> None:
    patterns = np.indices((2,) * size).reshape(size, -1).astype(bool)
    values = list(patterns)
    run(_cuda_networks.needed(_cuda_networks.SORTERS[size], range(size)), values)
    np.testing.assert_array_equal(values, np.sort(patterns, axis=0))


def test_steps_are_as_few_as_stated() -> None:
    steps = []
    for size in range(2, 8):
        network, result = _cuda_networks.median_of_sorted_rows(size)
        steps.append(
            sum(
                low + high for *_, low, high in _cuda_networks.needed(network, [result])
            )
        )
    assert steps == [3, 12, 47, 110, 179, 326]
