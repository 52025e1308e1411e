"""Non-local means in `keras.ops`, bit for bit equal to `kernels.nl_means`.

All arithmetic is on 32-bit integers, so no backend or compiler can round differently.
One loop over the offsets of the search window keeps the graph small and the memory at
a few integer copies of the images.
"""

from typing import Any

import numpy as np
from keras import ops

from keras_maskdef.kernels import _lab
from keras_maskdef.kernels._nl_means import weight_table

_FLOATS = np.arange(256, dtype="float32") / np.float32(255)


def nl_means(images: Any, strength: float, patch_size: int, search_size: int) -> Any:
    """Returns non-local means of a batch; see `keras_maskdef.kernels.nl_means`.

    Works eagerly or traced, with or without XLA. All dimensions but the channels may
    be unknown. There is no gradient, as the filter computes in integers.

    Args:
        images: float tensor in [0, 1] of shape (B, H, W, 1) or (B, H, W, 3).
        strength: filter strength on the 0..255 scale.
        patch_size: side of a patch in pixels, odd.
        search_size: side of the search window in pixels, odd.

    Returns:
        A float32 tensor of the shape of `images`.
    """
    window = (strength, patch_size, search_size)
    channels = [images[..., k] for k in range(images.shape[-1])]
    levels = [_to_levels(channel) for channel in channels]
    if len(levels) == 1:
        filtered = _filter_jointly(levels, *window)
    else:
        lightness, *color = _encode(levels)
        filtered = _filter_jointly([lightness], *window)
        filtered = _decode(filtered + _filter_jointly(color, *window))
    return ops.take(_FLOATS, ops.stack(filtered, axis=-1), axis=0)


def _to_levels(channel: Any) -> Any:
    scaled = ops.clip(ops.round(ops.cast(channel, "float32") * 255.0), 0.0, 255.0)
    return ops.cast(ops.where(ops.isnan(scaled), 0.0, scaled), "int32")


def _filter_jointly(
    planes: list[Any], strength: float, patch_size: int, search_size: int
) -> list[Any]:
    """Filters integer planes of shape (B, H, W) with the same weights for all."""
    table, shift = weight_table(strength, patch_size, search_size, len(planes))
    table = table.astype("int32")
    patch, search = patch_size // 2, search_size // 2
    padded = [
        _mirror(_mirror(plane, 1, patch + search), 2, patch + search)
        for plane in planes
    ]
    batch, height, width = ops.shape(planes[0])
    size = (batch, height + 2 * patch, width + 2 * patch)

    def moved(plane: Any, dy: Any, dx: Any) -> Any:
        return ops.slice(plane, (0, dy, dx), size)

    centers = [moved(plane, search, search) for plane in padded]

    def add_offset(index: Any, sums: tuple[Any, ...]) -> tuple[Any, ...]:
        dy, dx = index // search_size, index % search_size
        others = [moved(plane, dy, dx) for plane in padded]
        squares = [
            ops.square(center - other)
            for center, other in zip(centers, others, strict=True)
        ]
        distance = _box(_box(sum(squares), 1, patch), 2, patch)
        distance = ops.right_shift(distance, shift)
        weight = ops.take(table, ops.minimum(distance, len(table) - 1), axis=0)
        total, *values = sums
        values = [
            value + weight * _cut(_cut(other, 1, patch), 2, patch)
            for value, other in zip(values, others, strict=True)
        ]
        return (total + weight, *values)

    zeros = tuple(ops.zeros_like(plane) for plane in [planes[0], *planes])
    total, *values = ops.fori_loop(0, search_size**2, add_offset, zeros)
    return [_rounded_quotient(value, total) for value in values]


def _mirror(plane: Any, axis: int, border: int) -> Any:
    """Extends an axis at both ends by mirroring, repeatedly where it is short."""
    length = ops.shape(plane)[axis]
    period = ops.maximum(2 * length - 2, 1)
    position = (ops.arange(length + 2 * border, dtype="int32") - border) % period
    return ops.take(plane, ops.minimum(position, period - position), axis=axis)


def _window(plane: Any, axis: int, first: int, last: int) -> Any:
    """Drops `first` entries at the start of an axis and `last` at its end."""
    index = [slice(None)] * 3
    index[axis] = slice(first, -last or None)
    return plane[tuple(index)]


def _cut(plane: Any, axis: int, border: int) -> Any:
    return _window(plane, axis, border, border)


def _box(plane: Any, axis: int, reach: int) -> Any:
    """Sums every `2 * reach + 1` neighbours along an axis."""
    return sum(_window(plane, axis, k, 2 * reach - k) for k in range(2 * reach + 1))


def _rounded_quotient(value: Any, total: Any) -> Any:
    # `value + total // 2` could exceed 2**31; the remainder cannot.
    quotient = ops.floor_divide(value, total)
    remainder = value - quotient * total
    return quotient + ops.cast(remainder + total // 2 >= total, "int32")


def _mix(matrix: Any, planes: list[Any], bits: int) -> list[Any]:
    """Multiplies by a matrix in fixed point, rounding off the lowest `bits`."""
    half = 1 << (bits - 1)
    return [
        ops.right_shift(
            sum(int(factor) * plane for factor, plane in zip(row, planes, strict=True))
            + half,
            bits,
        )
        for row in matrix
    ]


def _encode(bgr: list[Any]) -> list[Any]:
    """Returns 8-bit Lab of linear BGR planes."""
    xyz = _mix(_lab.ENCODE_MATRIX, [8 * plane for plane in bgr], 12)
    x, y, z = (ops.take(_lab.CUBE_ROOT, plane, axis=0) for plane in xyz)
    half, middle = 1 << 14, 128 << 15
    fixed = [
        _lab.LIGHTNESS_SCALE * y - _lab.LIGHTNESS_SHIFT + half,
        500 * (x - y) + middle + half,
        200 * (y - z) + middle + half,
    ]
    return [ops.clip(ops.right_shift(plane, 15), 0, 255) for plane in fixed]


def _decode(lab: list[Any]) -> list[Any]:
    """Returns linear BGR of 8-bit Lab planes."""
    lightness, a, b = lab
    y = ops.take(_lab.LIGHTNESS_TO_Y, lightness, axis=0)
    f = ops.take(_lab.LIGHTNESS_TO_F, lightness, axis=0) - _lab.FIRST_CHROMA
    # a / 500 and b / 200 in the fixed point of f, less the offset of 128 levels.
    x_index = f + ops.right_shift(a * 268435 + 128, 13) - 4194
    z_index = f - ops.right_shift(b * 41943 + 16, 9) + 10484
    x = ops.take(_lab.CHROMA_TO_XZ, x_index, axis=0)
    z = ops.take(_lab.CHROMA_TO_XZ, z_index, axis=0)
    linear = _mix(_lab.DECODE_MATRIX, [x, y, z], 14)
    return [ops.right_shift(ops.clip(plane, 0, 4095) * 255, 12) for plane in linear]
