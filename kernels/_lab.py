"""OpenCV's 8-bit conversion between linear BGR and Lab, without OpenCV.

`cv2.COLOR_LBGR2Lab` and `cv2.COLOR_Lab2LBGR` on `uint8` are fixed-point integer
functions of one pixel: a 3x3 matrix and a table of cube roots one way, three
tables and a 3x3 matrix back. The constants are those of CIE 1976 L*a*b* for sRGB
primaries and white D65. All 2**24 inputs of both functions give OpenCV's bytes
(4.14 and 5.0), which a test repeats.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_WHITE = np.array([0.950456, 1.0, 1.088754])
_XYZ_OF_RGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_RGB_OF_XYZ = np.array(
    [
        [3.240479, -1.53715, -0.498535],
        [-0.969256, 1.875991, 0.041556],
        [0.055648, -0.204043, 1.057311],
    ]
)
# Below this, CIE Lab replaces the cube root by a line.
_LINEAR_BELOW = (6 / 29) ** 3

# Channel 0 is blue, the last row or column of the RGB matrices.
ENCODE_MATRIX = np.rint(4096 * _XYZ_OF_RGB[:, ::-1] / _WHITE[:, None]).astype(np.int32)
DECODE_MATRIX = np.rint(4096 * _RGB_OF_XYZ[::-1] * _WHITE).astype(np.int32)

LIGHTNESS_SCALE = 296  # 116 * 255 / 100
LIGHTNESS_SHIFT = 1336934  # 16 * 255 / 100, in 15-bit fixed point
FIRST_CHROMA = -8145  # the argument of CHROMA_TO_XZ's first entry


def _cube_roots() -> NDArray[np.int32]:
    x = np.arange(2048) / 2040
    roots = np.where(x < _LINEAR_BELOW, x * 841 / 108 + 16 / 116, np.cbrt(x))
    table = np.rint(32768 * roots).astype(np.int32)
    # 9454.50014 and 22125.499995: single precision rounds these two the other way.
    table[[49, 628]] = 9454, 22126
    return table


def _lightness() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    level = np.arange(256)
    linear = level <= 20
    f = level * 100 / (255 * 116) + 16 / 116
    y = np.where(linear, level * 180 / (17 * 29**3), f**3)
    f = np.where(linear, level * 5 / (3 * 17 * 29) + 16 / 116, f)
    return np.rint(16384 * y).astype(np.int32), np.rint(16384 * f).astype(np.int32)


def _chroma_to_xz() -> NDArray[np.int32]:
    f = np.arange(FIRST_CHROMA, FIRST_CHROMA + 16384 * 9 // 4)
    line = np.trunc(f * 108 / 841).astype(np.int64) - 290
    return np.where(f <= 3390, line, f * f // 16384 * f // 16384).astype(np.int32)


CUBE_ROOT = _cube_roots()
LIGHTNESS_TO_Y, LIGHTNESS_TO_F = _lightness()
CHROMA_TO_XZ = _chroma_to_xz()


@njit(nogil=True)
def _byte(value: int) -> np.uint8:
    return np.uint8(min(max(value, 0), 255))


@njit(nogil=True)
def encode(first: int, last: int, source: NDArray, target: NDArray) -> None:
    """Write Lab of the flat `uint8` BGR pixels `first` to `last - 1` to `target`."""
    matrix = ENCODE_MATRIX.ravel()
    for pixel in range(np.uint64(first), np.uint64(last)):
        at = pixel * np.uint64(3)
        c0 = np.int32(source[at]) * 8
        c1 = np.int32(source[at + np.uint64(1)]) * 8
        c2 = np.int32(source[at + np.uint64(2)]) * 8
        x = matrix[0] * c0 + matrix[1] * c1 + matrix[2] * c2
        y = matrix[3] * c0 + matrix[4] * c1 + matrix[5] * c2
        z = matrix[6] * c0 + matrix[7] * c1 + matrix[8] * c2
        x = CUBE_ROOT[np.uint64((x + 2048) >> 12)]
        y = CUBE_ROOT[np.uint64((y + 2048) >> 12)]
        z = CUBE_ROOT[np.uint64((z + 2048) >> 12)]
        half = 1 << 14
        middle = (128 << 15) + half
        lightness = (LIGHTNESS_SCALE * y - LIGHTNESS_SHIFT + half) >> 15
        target[at] = _byte(lightness)
        target[at + np.uint64(1)] = _byte((500 * (x - y) + middle) >> 15)
        target[at + np.uint64(2)] = _byte((200 * (y - z) + middle) >> 15)


@njit(nogil=True)
def decode(first: int, last: int, source: NDArray, target: NDArray) -> None:
    """Write BGR of the flat `uint8` Lab pixels `first` to `last - 1` to `target`."""
    matrix = DECODE_MATRIX.ravel()
    for pixel in range(np.uint64(first), np.uint64(last)):
        at = pixel * np.uint64(3)
        lightness = np.uint64(source[at])
        a = np.int32(source[at + np.uint64(1)])
        b = np.int32(source[at + np.uint64(2)])
        y = LIGHTNESS_TO_Y[lightness]
        f = LIGHTNESS_TO_F[lightness] - FIRST_CHROMA
        # a / 500 and b / 200 in the fixed point of f, less the offset of 128 levels.
        x = CHROMA_TO_XZ[np.uint64(f + ((a * 268435 + 128) >> 13) - 4194)]
        z = CHROMA_TO_XZ[np.uint64(f - ((b * 41943 + 16) >> 9) + 10484)]
        for channel in range(np.uint64(3)):
            row = channel * np.uint64(3)
            value = matrix[row] * x + matrix[row + np.uint64(1)] * y
            value = (value + matrix[row + np.uint64(2)] * z + 8192) >> 14
            value = min(max(value, 0), 4095)
            target[at + channel] = np.uint8((value * 255) >> 12)
