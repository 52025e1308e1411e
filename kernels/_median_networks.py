"""Networks of min and max that select the median of a window, written as source.

A window of k x k values takes three stages. Each row of k is sorted once and serves
every window that contains it; from 4x4 on, two sorted rows are merged once as well. The
remaining sorted lists are merged and the median selected, without the steps that cannot
reach the median. Steps of min and max for one value (both of a comparison count),
against sorting the whole window with the same merges:

    window    2    3    4    5    6    7
    here      5   18   43  108  149  294
    sorting   7   36   91  202  363  578
"""

from collections.abc import Sequence

Wires = list[str]


class Network:
    """A straight line of min and max steps; an equal step is written once."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str, str], str] = {}

    def low(self, a: str, b: str) -> str:
        return self._step("{a} if {a} < {b} else {b}", a, b)

    def high(self, a: str, b: str) -> str:
        return self._step("{b} if {a} < {b} else {a}", a, b)

    def merge(self, a: Wires, b: Wires) -> Wires:
        """Merges two sorted lists (Batcher's odd-even merge for any two lengths)."""
        if not a or not b:
            return a or b
        if len(a) == len(b) == 1:
            return [self.low(a[0], b[0]), self.high(a[0], b[0])]
        even, odd = self.merge(a[::2], b[::2]), self.merge(a[1::2], b[1::2])
        merged = even[:1]
        for upper, lower in zip(even[1:], odd, strict=False):
            merged += [self.low(lower, upper), self.high(lower, upper)]
        return merged + even[len(odd) + 1 :] + odd[len(even) - 1 :]

    def sort(self, wires: Wires) -> Wires:
        if len(wires) == 1:
            return wires
        half = len(wires) // 2
        return self.merge(self.sort(wires[:half]), self.sort(wires[half:]))

    def select(self, lists: Sequence[Wires], rank: int) -> str:
        """Returns the value of the given rank, from 0, among sorted lists."""
        kept, rank = _prune(lists, rank)
        while len(kept) > 2:
            shortest, second, *others = sorted(kept, key=len)
            kept, rank = _prune([self.merge(shortest, second), *others], rank)
        return self._select_of_two(kept[0], kept[1], rank)

    def median_of_three_rows(self, rows: Sequence[Wires]) -> str:
        """Returns the median of three sorted rows of three.

        It is the median of the highest low, the median middle and the lowest high:
        12 steps, where merging takes 16.
        """
        (a, b, c), middles, (d, e, f) = zip(*rows, strict=True)
        highest_low = self.high(self.high(a, b), c)
        lowest_high = self.low(self.low(d, e), f)
        return self._middle(highest_low, self._middle(*middles), lowest_high)

    def lines(self, results: Wires) -> list[str]:
        """Returns one assignment a step, of the steps that reach `results`."""
        needed, lines = set(results), []
        for (form, a, b), name in reversed(self._names.items()):
            if name in needed:
                needed |= {a, b}
                lines.append(f"{name} = {form.format(a=a, b=b)}")
        return lines[::-1]

    def _middle(self, a: str, b: str, c: str) -> str:
        return self.high(self.low(a, b), self.low(self.high(a, b), c))

    def _select_of_two(self, a: Wires, b: Wires, rank: int) -> str:
        # It is the least of max(a[i - 1], b[j - 1]) over i + j = rank + 1.
        candidates = []
        for i in range(max(0, rank + 1 - len(b)), min(len(a), rank + 1) + 1):
            j = rank + 1 - i
            ends = a[i - 1 : i] * (i > 0) + b[j - 1 : j] * (j > 0)
            candidates.append(ends[0] if len(ends) == 1 else self.high(*ends))
        least = candidates[0]
        for candidate in candidates[1:]:
            least = self.low(least, candidate)
        return least

    def _step(self, form: str, a: str, b: str) -> str:
        return self._names.setdefault((form, a, b), f"t{len(self._names)}")


def _prune(lists: Sequence[Wires], rank: int) -> tuple[list[Wires], int]:
    """Drops the values that cannot have the rank, and corrects the rank."""
    total = sum(map(len, lists))
    kept, dropped = [], 0
    for wires in lists:
        # The value at index i has at least i and at most i + others values before it.
        others = total - len(wires)
        first = max(0, rank - others)
        kept.append(wires[first : rank + 1])
        dropped += min(first, len(wires))
    if sum(map(len, kept)) == total:
        return [wires for wires in kept if wires], rank
    return _prune(kept, rank - dropped)


def stages(size: int, plane: int) -> str:
    """Returns the source of the three stages for windows of `size`, 4 or more.

    A stage works on one row of `count` values. `sort_rows(line, rows, target, count,
    step)` sorts, from every value on, `size` values that lie `step` apart into `size`
    planes, which lie `plane` apart. `merge_pairs(rows, upper, lower, pairs, target,
    count)` merges two sorted rows into `2 * size` planes. `medians(rows, pairs, at,
    out, target, count)` selects the medians from the lists of a window, whose first
    planes `at` holds. Arrays are flat, indices unsigned.
    """
    parts = _sort_rows(size, plane), _merge_pairs(size, plane), _medians(size, plane)
    return "\n".join(parts)


def _sort_rows(size: int, plane: int) -> str:
    network = Network()
    inputs = [f"a{i}" for i in range(size)]
    loads = [f"a{i} = line[i + {_u(i)} * step]" for i in range(size)]
    results = network.sort(inputs)
    return _function(
        "sort_rows(line, rows, target, count, step)",
        loads + network.lines(results) + _stores("rows", results, plane),
    )


def _merge_pairs(size: int, plane: int) -> str:
    network = Network()
    upper, upper_loads = _sorted_list("rows", "upper", size, plane)
    lower, lower_loads = _sorted_list("rows", "lower", size, plane)
    results = network.merge(upper, lower)
    return _function(
        "merge_pairs(rows, upper, lower, pairs, target, count)",
        upper_loads
        + lower_loads
        + network.lines(results)
        + _stores("pairs", results, plane),
    )


def _medians(size: int, plane: int) -> str:
    network, lists, loads, before = Network(), [], [], []
    for index, length in enumerate(window_lists(size)):
        source = "pairs" if length > size else "rows"
        wires, lines = _sorted_list(source, f"at{index}", length, plane)
        lists.append(wires)
        loads += lines
        before.append(f"at{index} = at[{index}]")
    result = network.select(lists, size * size // 2)
    # The compiler drops the loads of values that were pruned.
    return _function(
        "medians(rows, pairs, at, out, target, count)",
        loads + network.lines([result]) + [f"out[i + target] = {result}"],
        before,
    )


def window_lists(size: int) -> list[int]:
    """Returns the lengths of the sorted lists that make up a window, from the top."""
    return [2 * size] * (size // 2) + [size] * (size % 2)


def _sorted_list(
    source: str, first: str, length: int, plane: int
) -> tuple[Wires, list[str]]:
    names = [f"{first}_{i}" for i in range(length)]
    loads = [
        f"{name} = {source}[i + {first} + {_u(i * plane)}]"
        for i, name in enumerate(names)
    ]
    return names, loads


def _stores(array: str, results: Wires, plane: int) -> list[str]:
    return [
        f"{array}[i + target + {_u(i * plane)}] = {r}" for i, r in enumerate(results)
    ]


def _u(value: int) -> str:
    # A signed literal beside an unsigned index would turn both into floats.
    return f"uint64({value})"


def _function(signature: str, lines: list[str], before: Sequence[str] = ()) -> str:
    head = "".join(f"    {line}\n" for line in before)
    body = "".join(f"        {line}\n" for line in lines)
    return f"def {signature}:\n    wide()\n{head}    for i in range(count):\n{body}"
