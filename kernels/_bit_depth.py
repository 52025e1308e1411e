"""Rounding to `2**bits` levels on a CPU."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._vectors import LINE, inner, wide

_Fixed = tuple[np.uint16, np.uint16, np.uint16]  # factor, bias, shift


def _lower_multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Returns `a * b + c` of float32, rounded once."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), emit


_multiply_add: Any = intrinsic(_lower_multiply_add)


@inner
def _round(
    first: int, last: int, images: np.ndarray, out: np.ndarray, scale: np.float32
) -> None:
    wide()
    inverse = np.float32(1) / scale
    for i in range(np.uint64(first), np.uint64(last)):
        level = np.rint(images[i] * scale)
        nearly = level * inverse
        missing = _multiply_add(-nearly, scale, level)
        # Zeros of either sign, NaN and infinity need no correction.
        corrected = _multiply_add(missing, inverse, nearly)
        out[i] = corrected if abs(missing) > np.float32(0) else nearly


@njit(nogil=True)
def round_floats(
    first: int, last: int, images: np.ndarray, out: np.ndarray, levels: int
) -> None:
    """Writes `rint(x * levels) / levels`, for `levels` of 1 to 255, to the last bit.

    The quotient is the product with the reciprocal, corrected by its error, which a
    fused multiply-add gives exactly (Markstein 1990). On images that fit in the cache,
    a division, the slowest instruction of the loop, takes 1.45 times as long.
    """
    scale = np.float32(levels)
    # Line-wide stores that straddle two cache lines cost 5 %, so the elements before
    # the first line are rounded separately.
    address = out.ctypes.data + out.itemsize * first
    aligned = min(last, first + -address % LINE // out.itemsize)
    _round(first, aligned, images, out, scale)
    _round(aligned, last, images, out, scale)


def _lower_scaled(typing: Any, value: Any, factor: Any, bias: Any, shift: Any) -> Any:
    """Returns `(value * factor + bias) >> shift` of a byte, in 16 bits.

    Numba would compute in 64 bits, with 8 integers in a vector instead of 32.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, factor, bias, shift = arguments
        product = builder.mul(builder.zext(value, ir.IntType(16)), factor)
        scaled = builder.lshr(builder.add(product, bias), shift)
        return builder.trunc(scaled, ir.IntType(8))

    return types.uint8(types.uint8, types.uint16, types.uint16, types.uint16), emit


_scaled: Any = intrinsic(_lower_scaled)


@njit(nogil=True)
def _round_bytes(
    first: int,
    last: int,
    images: np.ndarray,
    out: np.ndarray,
    down: _Fixed,
    up: _Fixed,
) -> None:
    wide()
    down_factor, down_bias, down_shift = down
    up_factor, up_bias, up_shift = up
    for i in range(np.uint64(first), np.uint64(last)):
        level = _scaled(images[i], down_factor, down_bias, down_shift)
        out[i] = _scaled(level, up_factor, up_bias, up_shift)


def round_bytes(
    first: int, last: int, images: np.ndarray, out: np.ndarray, bits: int
) -> None:
    """Rounds bytes to the levels of 1 to 7 bits."""
    levels = 2**bits - 1
    down = _fixed_point(levels, 255, shift=16 - bits)
    up = _fixed_point(255, levels, shift=8)
    _round_bytes(first, last, images, out, down, up)


def _fixed_point(numerator: int, denominator: int, shift: int) -> _Fixed:
    """Returns a factor, bias and shift that round `x * numerator / denominator`.

    The bias includes half of the rounded factor's error at the largest `x`, the
    denominator. The tests check that this is exact for every byte and number of bits.
    """
    product = numerator << shift
    factor = (2 * product + denominator) // (2 * denominator)
    bias = (1 << (shift - 1)) + (product - factor * denominator) // 2
    return np.uint16(factor), np.uint16(bias), np.uint16(shift)
