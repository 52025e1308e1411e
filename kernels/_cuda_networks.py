"""Comparator networks that select the median of a square window.

A comparator `(a, b)` leaves the smaller of two values in place `a` and the larger in
place `b`. Place `row * size + rank` of a window holds one value of a sorted row.

These serve the CUDA kernels, where the number of live values matters: 33 for a 7x7
window. Merging the sorted rows, as the CPU kernels do, needs 51, which do not fit the
registers of a thread beside its addresses. Steps of min and max after the rows are
sorted:

    window    2    3    4    5    6    7
    here      3   12   47  110  179  326
    merging   3   12   51  116  193  346
"""

from collections.abc import Iterable
from itertools import combinations

Comparator = tuple[int, int]

# The shortest known networks, by number of values.
SORTERS: dict[int, tuple[Comparator, ...]] = {
    2: ((0, 1),),
    3: ((0, 1), (1, 2), (0, 1)),
    4: ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)),
    5: ((0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3)),
    6: (
        *((0, 5), (1, 3), (2, 4), (1, 2), (3, 4), (0, 3)),
        *((2, 5), (0, 1), (2, 3), (4, 5), (1, 2), (3, 4)),
    ),
    7: (
        *((0, 6), (2, 3), (4, 5), (0, 2), (1, 4), (3, 6), (0, 1), (2, 5)),
        *((3, 4), (1, 2), (4, 6), (2, 3), (4, 5), (1, 2), (3, 4), (5, 6)),
    ),
}


def median_of_sorted_rows(size: int) -> tuple[list[Comparator], int]:
    """Returns comparators and the place where they leave the median.

    The input is a `size` x `size` window whose rows are sorted; of the two medians of
    an even window it is the upper one. The values of each rank are sorted first, which
    keeps the rows sorted. The order that is then known leaves few candidates. Each
    further comparator is the one that adds most to the known order.
    """
    network = []
    for rank in range(size):
        for a, b in SORTERS[size]:
            if 2 * rank >= size:  # mirrored, so that the low end settles first
                a, b = size - 1 - b, size - 1 - a
            network.append((a * size + rank, b * size + rank))
    order = _PartialOrder(size)
    while len(order.candidates) > 1:
        a, b = order.most_telling_pair()
        order.compare(a, b)
        network.append((a, b))
    return network, order.candidates[0]


def needed(
    network: Iterable[Comparator], results: Iterable[int]
) -> list[tuple[int, int, bool, bool]]:
    """Keeps the steps that reach `results`: `(a, b, is_low_needed, is_high_needed)`."""
    live = set(results)
    kept = []
    for a, b in reversed(list(network)):
        if a in live or b in live:
            kept.append((a, b, a in live, b in live))
            live |= {a, b}
    return kept[::-1]


class _PartialOrder:
    """The known order of the values of a window with sorted rows and columns.

    `above[p]` and `below[p]` are bit sets of the places known to hold no less and no
    more than place `p`. A place with too many of either cannot hold the median and is
    no candidate; `rank` is the median's rank among the candidates.
    """

    def __init__(self, size: int) -> None:
        places = [divmod(place, size) for place in range(size * size)]

        def bits(is_related: Iterable[bool]) -> int:
            return sum(related << place for place, related in enumerate(is_related))

        self.above = [
            bits((r >= row and c >= col and (r, c) != (row, col)) for r, c in places)
            for row, col in places
        ]
        self.below = [
            bits((r <= row and c <= col and (r, c) != (row, col)) for r, c in places)
            for row, col in places
        ]
        self.candidates = list(range(size * size))
        self.rank = size * size // 2
        self._drop_impossible()

    def compare(self, a: int, b: int) -> None:
        """Records that `a` now holds the smaller value of the two, `b` the larger."""
        above, below = self.above, self.below
        above[a], above[b] = above[a] | above[b] | 1 << b, above[a] & above[b]
        below[a], below[b] = below[a] & below[b], below[a] | below[b] | 1 << a
        for place in range(len(above)):
            for moved in {a, b} - {place}:
                bit = 1 << moved
                is_below, is_above = below[moved] >> place, above[moved] >> place
                above[place] = above[place] & ~bit | (is_below & 1) * bit
                below[place] = below[place] & ~bit | (is_above & 1) * bit
        self._drop_impossible()

    def most_telling_pair(self) -> Comparator:
        """Returns the unordered pair whose comparison adds most on both sides."""
        alive = self._bits()

        def value(pair: Comparator) -> tuple[int, int]:
            gains, total = [], 0
            for sets in (self.above, self.below):
                a, b = (sets[place] & alive for place in pair)
                gains.append((a | b).bit_count() - max(a.bit_count(), b.bit_count()))
                total += (a | b).bit_count()
            return min(gains), total

        pairs = combinations(self.candidates, 2)
        return max((p for p in pairs if not self._is_ordered(*p)), key=value)

    def _is_ordered(self, a: int, b: int) -> bool:
        return bool((self.above[a] | self.below[a]) >> b & 1)

    def _bits(self) -> int:
        return sum(1 << place for place in self.candidates)

    def _drop_impossible(self) -> None:
        count = 0
        while count != len(self.candidates):
            count, alive = len(self.candidates), self._bits()
            for place in self.candidates:
                is_small = (self.above[place] & alive).bit_count() >= count - self.rank
                if is_small or (self.below[place] & alive).bit_count() > self.rank:
                    self.candidates = [p for p in self.candidates if p != place]
                    self.rank -= is_small
                    break
