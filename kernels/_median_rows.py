"""The median of 2x2 and 3x3 windows on a CPU, row by row, in vector registers.

A vector of columns is sorted once, and the neighbouring columns come from shifting it
against the vectors before and after it. Only the result is stored. Sorted columns that
go through memory, as for larger windows, are read back across the boundaries of the
stored vectors, and such a read waits for the stores. That is half the time of a row of
96. The compiler does not find this form, so it is written out.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._median_networks import Network
from ._vectors import copy, mirrored, scratch

LARGEST = 3  # the largest window for which the registers suffice
_BYTES = 64 if binding.get_host_cpu_features().get("avx512bw") else 32
_WORD = ir.IntType(64)


class _VectorNetwork(Network):
    """A network whose wires are vectors, and whose steps are instructions."""

    def __init__(self, builder: Any, is_less: Callable[..., Any]) -> None:
        self._builder, self._is_less = builder, is_less

    def low(self, a: Any, b: Any) -> Any:
        return self._builder.select(self._is_less("<", a, b), a, b)

    def high(self, a: Any, b: Any) -> Any:
        return self._builder.select(self._is_less("<", a, b), b, a)


class _Row:
    """Emits the medians of one row."""

    def __init__(self, context: Any, builder: Any, size: int, channels: int) -> None:
        self.context, self.builder = context, builder
        self.size, self.channels = size, channels

    def emit(self, kinds: Sequence[Any], arguments: Sequence[Any]) -> Any:
        builder = self.builder
        data = [
            self.context.make_array(kind)(self.context, builder, argument).data
            for kind, argument in zip(kinds[:3], arguments[:3], strict=True)
        ]
        images, at, out = data
        target, count = arguments[3:]
        dtype = kinds[0].dtype
        self.is_float = isinstance(dtype, types.Float)
        is_signed = dtype == types.int32
        self.lanes = _BYTES * 8 // dtype.bitwidth
        self.align = dtype.bitwidth // 8
        self.vector = ir.VectorType(self.context.get_value_type(dtype), self.lanes)
        is_less = builder.icmp_signed if is_signed else builder.icmp_unsigned
        self.network = _VectorNetwork(
            builder, builder.fcmp_ordered if self.is_float else is_less
        )
        self.nan = cgutils.alloca_once_value(
            builder, ir.Constant(ir.VectorType(ir.IntType(1), self.lanes), None)
        )
        self.count = count
        self.rows = [
            builder.gep(images, [builder.load(builder.gep(at, [_WORD(i)]))])
            for i in range(self.size)
        ]
        self.out = builder.gep(out, [target])
        self.last = builder.udiv(builder.sub(count, _WORD(1)), _WORD(self.lanes))
        self.previous = [self._slot() for _ in range(self.size)]
        self.current = [self._slot() for _ in range(self.size)]
        first = self._sorted_columns(_WORD(0))
        self._keep(self.current, first)
        self._keep(self.previous, [self._shift(v, v, 0, self.channels) for v in first])
        # Vectors whose right neighbours are all inside the row.
        inside = builder.sub(count, _WORD(self.channels))
        whole = builder.udiv(inside, _WORD(self.lanes))
        with cgutils.for_range(builder, whole) as loop:
            self._step(loop.index, is_inside=True)
        stop = builder.add(self.last, _WORD(1))
        with cgutils.for_range_slice(builder, whole, stop, _WORD(1)) as (index, _):
            self._step(index, is_inside=False)
        lanes = builder.bitcast(builder.load(self.nan), ir.IntType(self.lanes))
        return builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))

    def _step(self, index: Any, is_inside: bool) -> None:
        builder = self.builder
        previous = [builder.load(slot) for slot in self.previous]
        current = [builder.load(slot) for slot in self.current]
        following = builder.add(index, _WORD(1))
        if not is_inside:
            is_last = builder.icmp_unsigned("<", self.last, following)
            following = builder.select(is_last, self.last, following)
        coming = self._sorted_columns(following)
        shift = self.lanes - self.channels
        columns = [
            [self._shift(a, b, shift) for a, b in zip(previous, current, strict=True)],
            current,
        ]
        if self.size == 3:
            right = [
                self._shift(a, b, self.channels)
                for a, b in zip(current, coming, strict=True)
            ]
            if not is_inside:
                outside = self._outside(index)
                right = [
                    builder.select(outside, a, b)
                    for a, b in zip(current, right, strict=True)
                ]
            result = self.network.median_of_three_rows([*columns, right])
        else:
            result = self.network.select(columns, self.size * self.size // 2)
        self._keep(self.previous, current)
        self._keep(self.current, coming)
        builder.store(result, self._at(self.out, index), align=self.align)

    def _outside(self, index: Any) -> Any:
        """Returns a mask of the lanes whose right neighbour is beyond the row."""
        builder, lanes = self.builder, ir.VectorType(_WORD, self.lanes)
        begin = builder.mul(index, _WORD(self.lanes))
        edge = builder.sub(builder.sub(self.count, _WORD(self.channels)), begin)
        edges = builder.insert_element(ir.Constant(lanes, ir.Undefined), edge, _WORD(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        edges = builder.shuffle_vector(edges, edges, zeros)
        places = ir.Constant(lanes, list(range(self.lanes)))
        return builder.icmp_signed(">=", places, edges)

    def _sorted_columns(self, index: Any) -> list[Any]:
        builder = self.builder
        values = [
            builder.load(self._at(row, index), align=self.align) for row in self.rows
        ]
        if self.is_float:
            middle = values[self.size // 2]
            is_nan = builder.fcmp_unordered("uno", middle, middle)
            builder.store(builder.or_(builder.load(self.nan), is_nan), self.nan)
        return self.network.sort(values)

    def _at(self, row: Any, index: Any) -> Any:
        builder = self.builder
        pointer = builder.gep(row, [builder.mul(index, _WORD(self.lanes))])
        return builder.bitcast(pointer, self.vector.as_pointer())

    def _shift(self, a: Any, b: Any, places: int, mirror: int = 0) -> Any:
        """Returns the lanes of `a` followed by `b`, from lane `places` on.

        The last `mirror` of them are replaced by the first lanes of `a`.
        """
        chosen = [places + lane for lane in range(self.lanes)]
        if mirror:
            chosen[-mirror:] = range(mirror)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), chosen)
        return self.builder.shuffle_vector(a, b, mask)

    def _slot(self) -> Any:
        return cgutils.alloca_once(self.builder, self.vector)

    def _keep(self, slots: Sequence[Any], vectors: Sequence[Any]) -> None:
        for slot, vector in zip(slots, vectors, strict=True):
            self.builder.store(vector, slot)


def row_medians(size: int, channels: int) -> Any:
    """Returns `medians(images, at, out, target, count)`, which fills one row.

    `at` holds the starts of the `size` rows of its windows. It reads and writes whole
    vectors, past the `count` values of the row. It returns whether the values that it
    read from the middle row hold NaN.
    """

    def typed(
        typing: Any, images: Any, at: Any, out: Any, target: Any, count: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _Row(context, builder, size, channels).emit(
                signature.args, arguments
            )

        return types.boolean(images, at, out, types.uint64, types.uint64), emit

    return intrinsic(typed)


@cache
def kernel(size: int, channels: int) -> Callable[..., None]:
    """Returns `filter_rows(first, last, images, out, holds_nan, height, width)`.

    It fills the rows from `first` to `last`, counted over all images.
    """
    medians: Any = row_medians(size, channels)
    before = size // 2
    lane = _BYTES

    @njit(nogil=True)
    def filter_rows(
        first: int,
        last: int,
        images: np.ndarray,
        out: np.ndarray,
        holds_nan: np.ndarray,
        height: int,
        width: int,
    ) -> None:
        row = width * channels
        count = np.uint64(row)
        spill = row + lane
        at = np.empty(size, np.uint64)
        lines = scratch((size + 1) * spill, images)
        any_nan = False
        for job in range(first, last):
            top = job // height * height
            deepest = 0
            for i in range(size):
                y = top + mirrored(job - top + i - before, height)
                deepest = max(deepest, y)
                at[i] = y * row
            if deepest * row + spill <= images.size and job * row + spill <= last * row:
                any_nan |= medians(images, at, out, np.uint64(job * row), count)
            else:
                lines[:] = 0
                for i in range(size):
                    copy(images, at[i], lines, i * spill, row)
                    at[i] = i * spill
                any_nan |= medians(lines, at, lines, np.uint64(size * spill), count)
                copy(lines, size * spill, out, job * row, row)
        if any_nan:
            holds_nan[0] = True

    return filter_rows
