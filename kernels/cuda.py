"""CUDA twins of the CPU kernels, on numba-cuda.

Memory is read in words of 16 bytes where the rows allow it, and item by item where they
do not. `grid_mask` and `bit_depth` read each input item once, whatever the number of
views, and write in the same words. `median` reads each item of a tile and of its border
once, so an image that fits into one tile is read once.

Arguments are checked in `keras_maskdef.kernels`, not here. Every function returns when
its result is in place, as frameworks use streams that numba does not know.
"""

import functools
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cuda, types
from numba.core import config as numba_config
from numba.cuda import libdevice
from numba.cuda.extending import intrinsic

from . import _cuda_networks, reference
from ._device import cpu_module
from ._selfcheck import CudaFallbackWarning as CudaFallbackWarning
from ._selfcheck import sample_images, trusted

config: Any = numba_config
SIMULATED = bool(config.ENABLE_CUDASIM)
THREADS = 128
# Eight blocks of 128 threads share 65,536 registers: at most 64 for a thread.
LAUNCH_BOUNDS = {} if SIMULATED else {"launch_bounds": (THREADS, 8)}
ALIGNMENT = None if SIMULATED else 16
SHARED_BYTES = 48 * 1024  # what every device gives a block that does not ask for more
ROWS_A_THREAD = 16

# Inlined by numba, so that it compiles for any device without one present.
device = functools.partial(cuda.jit, device=True, inline="always")

# Kernels that only move or order values see float32 as its bits.
BITS: dict[str, Any] = {"float32": np.dtype("int32"), "uint8": np.dtype("uint8")}


# --- 16 bytes at once -----------------------------------------------------------------


@intrinsic
def _load16(typingctx: Any, array: Any, index: Any) -> Any:
    word = array.dtype if array.dtype.bitwidth == 32 else types.int32

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_value_type(word), 4)
        pointer = _item_pointer(context, builder, signature, args, vector)
        loaded = builder.load(pointer, align=16)
        words = [builder.extract_element(loaded, _lane(lane)) for lane in range(4)]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(word, 4)(array, types.int64), codegen


@intrinsic
def _store16(typingctx: Any, array: Any, index: Any, words: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_value_type(words.dtype), 4)
        value = ir.Constant(vector, ir.Undefined)
        for lane in range(4):
            word = builder.extract_value(args[2], lane)
            value = builder.insert_element(value, word, _lane(lane))
        pointer = _item_pointer(context, builder, signature, args, vector)
        builder.store(value, pointer, align=16)
        return context.get_dummy_value()

    return types.void(array, types.int64, words), codegen


def _item_pointer(
    context: Any, builder: Any, signature: Any, args: Any, vector: Any
) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), vector.as_pointer())


def _lane(number: int) -> Any:
    return ir.Constant(ir.IntType(32), number)


def _load16_simulated(array: Any, index: int) -> Any:
    size = array.dtype.itemsize
    words = array[index : index + 16 // size].view(
        "int32" if size == 1 else array.dtype
    )
    return words[0], words[1], words[2], words[3]


def _store16_simulated(array: Any, index: int, words: Any) -> None:
    items = np.array(words).view(array.dtype)
    array[index : index + items.size] = items


# 16 bytes of an array from an item on, as four words of 4 bytes. The simulator runs
# Python and no intrinsics.
load16 = _load16_simulated if SIMULATED else _load16
store16 = _store16_simulated if SIMULATED else _store16
rint = np.rint if SIMULATED else libdevice.rintf


_configuring = threading.Lock()


def configured(kernel: Any, blocks: int, shared: int = 0) -> Any:
    """Returns `kernel` ready to be called on a grid of `blocks`.

    Numba warns of any grid below 128 blocks, but a small batch is no mistake.
    """
    with _configuring:
        warn = config.CUDA_LOW_OCCUPANCY_WARNINGS
        config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
        try:
            return kernel[blocks, THREADS, 0, shared]
        finally:
            config.CUDA_LOW_OCCUPANCY_WARNINGS = warn


# --- grid_mask ------------------------------------------------------------------------


@device
def _quotient(a, b):
    # For numbers from 0 to 2**31 - 1, without the cost of signs or of 64 bits.
    return np.int32(np.uint32(a) // np.uint32(b))


@device
def _remainder(a, b):
    return np.int32(np.uint32(a) % np.uint32(b))


@functools.cache
def grid_mask_kernel(dtype: str) -> Any:
    """Returns the kernel for images of `dtype`; a thread has 16 bytes of them."""
    items = 16 // BITS[dtype].itemsize
    per_word = items // 4
    bits = 32 // per_word
    full = np.int32(-1 if bits == 32 else (1 << bits) - 1)

    @device
    def filling(fill, channel, channels):
        word = np.int32(0)
        for part in range(per_word):
            value = np.int32(fill[np.uint64(channel)])
            word = np.int32(word | (value & full) << np.int32(bits * part))
            channel = np.int32(0 if channel + 1 == channels else channel + 1)
        return word, channel

    @device
    def covered(word, fill, keep, moves, item, at, shown):
        onward, back, step = moves
        mask = np.int32(0)
        for part in range(per_word):
            if (onward >> (item + part)) & 1:
                at += 1
                shown = keep[np.uint64(at)]
            elif (back >> (item + part)) & 1:
                at -= step
                shown = keep[np.uint64(at)]
            if shown:
                mask = np.int32(mask | full << np.int32(bits * part))
        return np.int32((word & mask) | (fill & ~mask)), at, shown

    @cuda.jit(**LAUNCH_BOUNDS)
    def kernel(images, keep, fill, out, height, width, channels, cell, views, wide):
        start = cuda.grid(1) * items
        if start >= images.size:
            return
        grid_width = _quotient(width + cell - 1, cell)
        grid_size = np.int64(_quotient(height + cell - 1, cell)) * grid_width
        image_size = np.int64(height) * width * channels
        image = np.int64(np.uint64(start) // np.uint64(image_size))
        channel = _remainder(start - image * image_size, channels)
        pixel = _quotient(start - image * image_size, channels)
        x, y = _remainder(pixel, width), _quotient(pixel, width)
        x_in_cell, y_in_cell = _remainder(x, cell), _remainder(y, cell)
        first = image * grid_size + np.int64(_quotient(y, cell)) * grid_width
        first += _quotient(x, cell)
        grids = np.int64(np.uint64(images.size) // np.uint64(image_size)) * grid_size
        fill0, next_channel = filling(fill, channel, channels)
        fill1, next_channel = filling(fill, next_channel, channels)
        fill2, next_channel = filling(fill, next_channel, channels)
        fill3, next_channel = filling(fill, next_channel, channels)
        # A bit for every item outside the cell of the item before it: either the next
        # cell follows, or the row of cells starts again.
        onward = back = np.int32(0)
        for item in range(1, items):
            channel = np.int32(channel + 1)
            if channel == channels:
                channel = np.int32(0)
                x, x_in_cell = np.int32(x + 1), np.int32(x_in_cell + 1)
                if x == width:
                    x = x_in_cell = np.int32(0)
                    y, y_in_cell = np.int32(y + 1), np.int32(y_in_cell + 1)
                    if y == height:
                        y, y_in_cell = np.int32(0), np.int32(cell)
                    if y_in_cell == cell:
                        y_in_cell = np.int32(0)
                        onward = np.int32(onward | np.int32(1) << np.int32(item))
                    else:
                        back = np.int32(back | np.int32(1) << np.int32(item))
                elif x_in_cell == cell:
                    x_in_cell = np.int32(0)
                    onward = np.int32(onward | np.int32(1) << np.int32(item))
        step = np.int64(grid_width - 1)
        moves = onward, back, step
        if wide and start + items <= images.size:
            word0, word1, word2, word3 = load16(images, start)
            for view in range(views):
                at = view * grids + first
                shown = keep[np.uint64(at)]
                new0, at, shown = covered(word0, fill0, keep, moves, 0, at, shown)
                new1, at, shown = covered(
                    word1, fill1, keep, moves, per_word, at, shown
                )
                new2, at, shown = covered(
                    word2, fill2, keep, moves, 2 * per_word, at, shown
                )
                new3, at, shown = covered(
                    word3, fill3, keep, moves, 3 * per_word, at, shown
                )
                store16(out, view * images.size + start, (new0, new1, new2, new3))
        else:
            for item in range(min(items, images.size - start)):
                if onward >> item & 1:
                    first += 1
                elif back >> item & 1:
                    first -= step
                value = images[np.uint64(start + item)]
                channel = _remainder(start - image * image_size + item, channels)
                for view in range(views):
                    target = np.uint64(view * images.size + start + item)
                    shown = keep[np.uint64(view * grids + first)]
                    out[target] = value if shown else fill[np.uint64(channel)]

    return kernel


def _launch_grid_mask(
    images: Any, keep: Any, cell_size: int, fill: np.ndarray, out: Any
) -> None:
    bits = BITS[str(images.dtype)]
    source, target = _flat(images, bits), _flat(out, bits)
    views, items = math.prod(keep.shape[:-3]), 16 // bits.itemsize
    wide = _is_aligned(source, target) and (views == 1 or source.size % items == 0)
    blocks = _ceil_div(source.size, THREADS * items)
    configured(grid_mask_kernel(str(images.dtype)), blocks)(
        *(source, _flat(keep, np.dtype("uint8")), cuda.to_device(fill.view(bits))),
        *(target, *map(np.int32, (*images.shape[1:], cell_size, views)), wide),
    )


# --- bit_depth ------------------------------------------------------------------------


@device
def _round_float(value, levels):
    return rint(value * levels) / levels


@device
def _round_byte(value, levels):
    # Rounded n / d is (2 * n + d) // (2 * d). The way back from a level multiplies by
    # 255 / levels in 16 binary places, which gives every one of the 510 levels exactly.
    level = np.uint32(2 * np.int32(value) * levels + 255) // np.uint32(2 * 255)
    scale = np.uint32(2 * 255 * 65536 + levels) // np.uint32(2 * levels)
    return np.int32(np.uint32(level * scale + 32768) >> np.uint32(16))


@device
def _round_bytes(word, levels):
    result = np.int32(0)
    for part in range(4):
        shift = np.int32(8 * part)
        result |= _round_byte((word >> shift) & np.int32(255), levels) << shift
    return np.int32(result)


@functools.cache
def bit_depth_kernel(dtype: str) -> Any:
    """Returns the kernel for images of `dtype`; a thread has 16 bytes of them."""
    items = 16 // BITS[dtype].itemsize
    is_float = dtype == "float32"
    round_item = _round_float if is_float else _round_byte
    round_word = _round_float if is_float else _round_bytes

    @cuda.jit(**LAUNCH_BOUNDS)
    def kernel(images, out, levels, wide):
        start = cuda.grid(1) * items
        if wide and start + items <= images.size:
            words = load16(images, start)
            result = (
                round_word(words[0], levels),
                round_word(words[1], levels),
                round_word(words[2], levels),
                round_word(words[3], levels),
            )
            store16(out, start, result)
        else:
            for item in range(start, min(start + items, images.size)):
                index = np.uint64(item)
                out[index] = round_item(images[index], levels)

    return kernel


def _launch_bit_depth(images: Any, bits: int, out: Any) -> None:
    dtype = images.dtype
    source, target = _flat(images, dtype), _flat(out, dtype)
    levels = (np.float32 if dtype == np.float32 else np.int32)(2**bits - 1)
    blocks = _ceil_div(source.size, THREADS * (16 // dtype.itemsize))
    configured(bit_depth_kernel(str(dtype)), blocks)(
        source, target, levels, _is_aligned(source, target)
    )


# --- median ---------------------------------------------------------------------------


@device
def _key_of_float(bits):
    # Turns the bits of a float into an integer of the same order, NaN last.
    if (bits & np.int32(0x7FFFFFFF)) > np.int32(0x7F800000):
        return np.int32(0x7FFFFFFF)
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@device
def _float_of_key(key):
    return np.int32(key ^ ((key >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@device
def _unchanged(value):
    return value


def _device_function(name: str, arguments: str, lines: Sequence[str]) -> Any:
    text = "\n    ".join([f"def {name}({arguments}):", *lines])
    scope: dict[str, Any] = {"int32": np.int32, "uint64": np.uint64}
    exec(compile(text, f"<{name}>", "exec"), scope)
    return device(scope[name])


class _Exchanges:
    """The source of a comparator network; `names` maps a place to what it holds now.

    Every value has a distinct name, as numba takes long to resolve reassigned names.
    """

    def __init__(self, load: Callable[[int], str]) -> None:
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self._load = load

    def add(self, a: int, b: int, is_low_needed: bool, is_high_needed: bool) -> None:
        for place in (a, b):
            if place not in self.names:
                self.names[place] = self._assign(self._load(place))
        operands = f"{self.names[a]}, {self.names[b]}"
        if is_low_needed:
            self.names[a] = self._assign(f"min({operands})")
        if is_high_needed:
            self.names[b] = self._assign(f"max({operands})")

    def _assign(self, expression: str) -> str:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name


@functools.cache
def row_sorter(size: int) -> Any:
    """Returns `sort_row(keys, source, step, target)`, straight-line code.

    It sorts the `size` keys from `source` on, `step` apart, to `target` on, `THREADS`
    apart.
    """
    places = [f"s{place}" for place in range(size)]
    addresses = ["s0 = uint64(source)", "by = uint64(step)", "to = uint64(target)"]
    addresses += [f"{b} = {a} + by" for a, b in itertools.pairwise(places)]
    exchanges = _Exchanges(lambda place: f"int32(keys[{places[place]}])")
    for comparator in _cuda_networks.needed(_cuda_networks.SORTERS[size], range(size)):
        exchanges.add(*comparator)
    stores = [
        f"keys[to + uint64({place * THREADS})] = {exchanges.names[place]}"
        for place in range(size)
    ]
    lines = [*addresses, *exchanges.lines, *stores]
    return _device_function("sort_row", "keys, source, step, target", lines)


@functools.cache
def median_selector(size: int) -> Any:
    """Returns `select(keys, source)`: the median of `size` sorted rows of keys.

    The keys lie from `source` on, `THREADS` apart, row by row. A key is loaded where it
    is first compared, so few are in registers at once: at most 33 of the 49 of a 7x7
    window.
    """
    network, result = _cuda_networks.median_of_sorted_rows(size)
    exchanges = _Exchanges(lambda place: f"int32(keys[at + uint64({place * THREADS})])")
    for comparator in _cuda_networks.needed(network, [result]):
        exchanges.add(*comparator)
    last = f"return {exchanges.names[result]}"
    lines = ["at = uint64(source)", *exchanges.lines, last]
    return _device_function("select", "keys, source", lines)


@functools.cache
def median_kernel(dtype: str, size: int) -> Any:
    """Returns the kernel for images of `dtype` and windows of `size` x `size`.

    A block holds a tile of an image in shared memory, mirrored where the image ends. A
    thread walks down one column of the tile. It sorts each row of its window once, into
    the thread's ring of the last `size` rows, and selects from the ring.
    """
    is_float = dtype == "float32"
    key_type = types.int32 if is_float else types.uint8
    to_key = _key_of_float if is_float else _unchanged
    from_key = _float_of_key if is_float else _unchanged
    items = 16 // BITS[dtype].itemsize
    before, after = size // 2, (size - 1) // 2
    ring = size * size * THREADS
    sort_row, select = row_sorter(size), median_selector(size)

    @device
    def mirror(keys, place, item, edge, pitch, row, channels):
        # Copies the key of an item near an end of its row to its mirror image.
        shift = np.int32(2 * _remainder(item, channels) - channels - 2 * item)
        if item < before * channels and item + shift >= edge:
            keys[np.uint64(place + shift)] = keys[np.uint64(place)]
        shift = np.int32(shift + 2 * row)
        if item >= row - after * channels and item + shift < edge + pitch:
            keys[np.uint64(place + shift)] = keys[np.uint64(place)]

    @cuda.jit(**LAUNCH_BOUNDS)
    def kernel(images, out, height, row, channels, columns, pitch, rows, wide):
        keys = cuda.shared.array(0, key_type, ALIGNMENT)
        lane = np.int32(cuda.threadIdx.x)
        groups = _quotient(THREADS, columns)
        strips = _quotient(row + columns - 1, columns)
        bands = _quotient(height + groups * rows - 1, groups * rows)
        block = np.int32(cuda.blockIdx.x)
        band = _quotient(block, strips)
        edge = np.int32(_remainder(block, strips) * columns - (pitch - columns) // 2)
        top = np.int32(_remainder(band, bands) * groups * rows - before)
        origin = np.int64(_quotient(band, bands)) * height * row

        step = np.int32(items if wide else 1)
        steps = _quotient(pitch, step)
        tile_rows = np.int32(groups * rows + size - 1)
        for i in range(lane, tile_rows * steps, THREADS):
            y = np.int32(_quotient(i, steps))
            item = np.int32(edge + _remainder(i, steps) * step)
            place = np.int32(ring + y * pitch + item - edge)
            y = np.int32(y + top)
            if y >= 0 and y < height and item >= 0 and item < row:
                source = origin + np.int64(y) * row + item
                if wide:
                    words = load16(images, source)
                    sortable = (
                        to_key(words[0]),
                        to_key(words[1]),
                        to_key(words[2]),
                        to_key(words[3]),
                    )
                    store16(keys, place, sortable)
                else:
                    keys[np.uint64(place)] = to_key(images[np.uint64(source)])
                if item < before * channels or item + step > row - after * channels:
                    for part in range(step):
                        mirror(
                            keys, place + part, item + part, edge, pitch, row, channels
                        )
        cuda.syncthreads()

        # Rows beyond the image: `top` is above it in the first band alone.
        for i in range(lane, pitch, THREADS):
            if top < 0:
                for y in range(before):
                    place = np.int32(ring + (before - 1 - y) * pitch + i)
                    mirrored = np.int32(ring + (before + y) * pitch + i)
                    keys[np.uint64(place)] = keys[np.uint64(mirrored)]
            for y in range(height, min(height + after, top + tile_rows)):
                place = np.int32(ring + (y - top) * pitch + i)
                mirrored = np.int32(ring + (2 * height - 1 - y - top) * pitch + i)
                keys[np.uint64(place)] = keys[np.uint64(mirrored)]
        cuda.syncthreads()

        group = _quotient(lane, columns)
        item = np.int32(edge + (pitch - columns) // 2 + _remainder(lane, columns))
        y = np.int32(top + before + group * rows)
        if group >= groups or item >= row:
            return
        source = np.int32(ring + group * rows * pitch + item - edge - before * channels)
        target = np.int32(lane)
        place = origin + np.int64(y - size + 1) * row + item
        for line in range(size - 1 + min(rows, height - y)):
            sort_row(keys, source, channels, target)
            source = np.int32(source + pitch)
            target = np.int32(target + size * THREADS)
            if target >= ring:
                target = lane
            if line >= size - 1:
                out[np.uint64(place)] = from_key(select(keys, lane))
            place += row

    return kernel


def median_tile(
    height: int, row: int, channels: int, size: int, dtype: str
) -> tuple[int, int, int]:
    """Returns a tile's columns, its pitch and the rows that a thread walks."""
    itemsize = BITS[dtype].itemsize
    word = 16 // itemsize
    columns = word * _ceil_div(_ceil_div(row, _ceil_div(row, THREADS)), word)
    pitch = columns + 2 * word * _ceil_div(size // 2 * channels, word)
    groups = THREADS // columns
    room = SHARED_BYTES // itemsize - size * size * THREADS
    rows = (room // pitch - (size - 1)) // groups
    return columns, pitch, min(rows, ROWS_A_THREAD, _ceil_div(height, groups))


def _launch_median(images: Any, size: int, out: Any) -> None:
    dtype = str(images.dtype)
    count, height, width, channels = images.shape
    row = width * channels
    source, target = _flat(images, BITS[dtype]), _flat(out, BITS[dtype])
    columns, pitch, rows = median_tile(height, row, channels, size, dtype)
    tile_height = THREADS // columns * rows
    blocks = count * _ceil_div(row, columns) * _ceil_div(height, tile_height)
    keys = size * size * THREADS + (tile_height + size - 1) * pitch
    wide = _is_aligned(source) and row * source.dtype.itemsize % 16 == 0
    shared = keys * source.dtype.itemsize
    configured(median_kernel(dtype, size), blocks, shared)(
        source,
        target,
        *map(np.int32, (height, row, channels, columns, pitch, rows)),
        wide,
    )


# --- arrays ---------------------------------------------------------------------------


@functools.cache
def check_compiler() -> None:
    """Compiles a kernel that does nothing; it needs no device.

    numba-cuda imports most of its modules when it first compiles. Where that fails,
    every kernel would fail its self-check and leave its work to the CPU.
    """
    if not SIMULATED:
        cuda.compile_ptx(_nothing, (), cc=(9, 0))


def _nothing():
    pass


def why_unavailable() -> str | None:
    """Returns None where kernels can run on a device, else the reason in words."""
    if cuda.is_available():
        return None
    return " ".join(f"numba-cuda finds no device. {cuda.cuda_error() or ''}".split())


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """Returns a new device array with no particular content."""
    return cuda.device_array(shape, dtype)


def asarray(value: Any) -> Any:
    """Returns `value` as a device array: no copy on the device, an upload elsewhere."""
    if getattr(value, "__cuda_ndarray__", False):
        return value
    if hasattr(value, "__cuda_array_interface__"):
        return cuda.as_cuda_array(value)
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        return cuda.as_cuda_array(_DLPackView(value))
    return cuda.to_device(np.ascontiguousarray(value))


class _DLPackView:
    """Another framework's device array, as the interface numba-cuda reads."""

    def __init__(self, array: Any) -> None:
        from cuda.core.utils import StridedMemoryView

        legacy_default_stream = 1
        # Kept, as it owns the memory.
        self.view = view = StridedMemoryView.from_dlpack(array, legacy_default_stream)
        strides = view.strides
        itemsize = view.dtype.itemsize
        self.__cuda_array_interface__ = {
            "version": 3,
            "data": (view.ptr, bool(view.readonly)),
            "shape": tuple(view.shape),
            "strides": strides and tuple(itemsize * stride for stride in strides),
            "typestr": view.dtype.str,
        }


def _flat(array: Any, dtype: np.dtype) -> Any:
    return array.reshape(math.prod(array.shape)).view(dtype)


def _is_aligned(*arrays: Any) -> bool:
    interfaces = (getattr(array, "__cuda_array_interface__", None) for array in arrays)
    return not any(interface["data"][0] % 16 for interface in interfaces if interface)


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@cuda.jit(**LAUNCH_BOUNDS)
def copy_kernel(source, target):
    index = cuda.grid(1)
    if index >= target.size:
        return
    rest, m = divmod(index, target.shape[4])
    rest, k = divmod(rest, target.shape[3])
    rest, j = divmod(rest, target.shape[2])
    h, i = divmod(rest, target.shape[1])
    target[h, i, j, k, m] = source[h, i, j, k, m]


def _copy(source: Any, target: Any) -> None:
    shape = (1,) * (5 - len(target.shape)) + tuple(target.shape)
    blocks = _ceil_div(math.prod(shape), THREADS)
    configured(copy_kernel, blocks)(source.reshape(shape), target.reshape(shape))


def _contiguous(array: Any) -> Any:
    if array.is_c_contiguous():
        return array
    result = empty(array.shape, array.dtype)
    _copy(array, result)
    return result


# --- the kernels, as `keras_maskdef.kernels` calls them -------------------------------

LAUNCHERS: dict[str, Callable[..., None]] = {
    "grid_mask": _launch_grid_mask,
    "bit_depth": _launch_bit_depth,
    "median": _launch_median,
}


def grid_mask(
    images: Any, keep: Any, cell_size: int, fill: np.ndarray, out: Any
) -> None:
    """Fills `out` with `images` where `keep` shows the cell, else with `fill`."""
    _run("grid_mask", (images, keep), (cell_size, fill), out, ())


def bit_depth(images: Any, bits: int, out: Any) -> None:
    """Fills `out` with `images` rounded to `2**bits` levels."""
    _run("bit_depth", (images,), (bits,), out, (bits,))


def median(images: Any, size: int, out: Any) -> None:
    """Fills `out` with the median of the window around each value of `images`."""
    _run("median", (images,), (size,), out, (size,))


def _run(
    kernel: str,
    arrays: tuple[Any, ...],
    parameters: tuple[Any, ...],
    out: Any,
    variant: tuple[int, ...],
) -> None:
    if is_trusted(kernel, str(out.dtype), *variant):
        _launch(kernel, arrays, parameters, out)
    else:
        _compute_on_host(kernel, arrays, parameters, out)


def _launch(
    kernel: str, arrays: tuple[Any, ...], parameters: tuple[Any, ...], out: Any
) -> None:
    target = out if out.is_c_contiguous() else empty(out.shape, out.dtype)
    LAUNCHERS[kernel](*map(_contiguous, arrays), *parameters, target)
    if target is not out:
        _copy(target, out)
    cuda.synchronize()


def _compute_on_host(
    kernel: str, arrays: tuple[Any, ...], parameters: tuple[Any, ...], out: Any
) -> None:
    result = np.empty(out.shape, out.dtype)
    hosted = [array.copy_to_host() for array in arrays]
    getattr(cpu_module(), kernel)(*hosted, *parameters, result)
    if out.is_c_contiguous():
        out.copy_to_device(result)
    else:
        _copy(cuda.to_device(result), out)


@trusted
def is_trusted(kernel: str, dtype: str, *variant: int) -> str:
    """Compares a kernel, on its first use, with the reference on small images."""
    for images in sample_images(dtype):
        arrays: tuple[np.ndarray, ...] = (images,)
        parameters: tuple[Any, ...] = variant
        if kernel == "grid_mask":
            count, height, width, channels = images.shape
            grid = (2, count, _ceil_div(height, 3), _ceil_div(width, 3))
            keep = np.arange(math.prod(grid)).reshape(grid) % 5 < 2
            fill = np.arange(1, 1 + channels).astype(dtype)
            arrays, parameters = (images, keep), (3, fill)
        expected = getattr(reference, kernel)(*arrays, *parameters)
        result = empty(expected.shape, expected.dtype)
        _launch(kernel, tuple(map(asarray, arrays)), parameters, result)
        different = np.count_nonzero(result.copy_to_host() != expected)
        if different:
            return (
                f"{different} of {expected.size} values differ on {images.shape} images"
            )
    return ""
