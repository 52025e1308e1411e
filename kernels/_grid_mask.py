"""Masked views of images on a CPU, as bytes, whatever the dtype."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._vectors import LINE, whole_vectors, wide


def _lower_choose_line(
    typing: Any,
    images: Any,
    begin: Any,
    mask: Any,
    fill: Any,
    place: Any,
    out: Any,
    to: Any,
) -> Any:
    """Writes the next `LINE` bytes of `images` where `mask` is set, else of `fill`.

    The compiler alone works on four lines at once and falls back to one short vector at
    a time for shorter rows, such as those of images of 32x32x3 bytes.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        line = ir.VectorType(ir.IntType(8), LINE)

        def pointer(array: int, index: int) -> Any:
            struct = context.make_array(signature.args[array])
            data = struct(context, builder, arguments[array]).data
            place = builder.gep(data, [arguments[index]])
            return builder.bitcast(place, line.as_pointer())

        values, visible, covered = (
            builder.load(pointer(array, index), align=1)
            for array, index in ((0, 1), (2, 4), (3, 4))
        )
        shown = builder.and_(values, visible)
        chosen = builder.or_(shown, builder.and_(covered, builder.not_(visible)))
        builder.store(chosen, pointer(5, 6), align=1)
        return context.get_dummy_value()

    return types.none(images, begin, mask, fill, place, out, to), emit


_choose_line: Any = intrinsic(_lower_choose_line)


def _lower_fill_line(typing: Any, array: Any, start: Any, value: Any) -> Any:
    """Writes `LINE` times the byte `value`; a loop would become a call of `memset`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        line = ir.VectorType(ir.IntType(8), LINE)
        data = context.make_array(array)(context, builder, arguments[0]).data
        first = builder.insert_element(
            ir.Constant(line, ir.Undefined), arguments[2], ir.IntType(32)(0)
        )
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), LINE), None)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), line.as_pointer())
        builder.store(builder.shuffle_vector(first, first, lanes), place, align=1)
        return context.get_dummy_value()

    return types.none(array, start, types.uint8), emit


_fill_line: Any = intrinsic(_lower_fill_line)


@njit(nogil=True)
def mask_bands(
    first: int,
    last: int,
    images: np.ndarray,
    keep: np.ndarray,
    fill: np.ndarray,
    out: np.ndarray,
    views: int,
    batch: int,
    height: int,
    cell_size: int,
    row: int,
    cell: int,
) -> None:
    """Masks bands, as bytes; a band is one row of cells of one image.

    A byte mask turns the choice into `and` and `or`, the same for every dtype. Loops
    run in whole vectors where the spilled bytes are overwritten later. This holds up to
    the last of these bands in a view; the next band may be another thread's.
    """
    wide()
    whole_row, whole_cell = whole_vectors(row, 1), whole_vectors(cell, 1)
    mask = np.empty(row + whole_row + whole_cell, np.uint8)
    bands, across = -(-height // cell_size), -(-row // cell)
    last_row = last // bands * height + min(last % bands * cell_size, height)
    for job in range(first, last):
        image, band = job // bands, job % bands
        top, bottom = band * cell_size, min((band + 1) * cell_size, height)
        for view in range(views):
            cells = ((view * batch + image) * bands + band) * across
            for column in range(across):
                value = np.uint8(-(keep[cells + column] != 0))
                start = np.uint64(column * cell)
                for i in range(0, whole_cell, LINE):
                    _fill_line(mask, start + np.uint64(i), value)
            end = (view * batch * height + last_row) * row
            for y in range(top, bottom):
                source = (image * height + y) * row
                target = ((view * batch + image) * height + y) * row
                spills = target + whole_row <= end and source + whole_row <= images.size
                begin, to = np.uint64(source), np.uint64(target)
                if spills:
                    for i in range(0, whole_row, LINE):
                        j = np.uint64(i)
                        _choose_line(images, begin + j, mask, fill, j, out, to + j)
                else:
                    for i in range(np.uint64(row)):
                        visible = mask[i]
                        out[to + i] = images[begin + i] & visible | fill[i] & ~visible
