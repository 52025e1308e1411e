"""Array kernels: NumPy and numba only, no Keras, no TensorFlow.

Every function on images takes them in the shape (batch, height, width, channels) with 1
to 8 channels, of dtype float32 or uint8, contiguous or not. No function writes to its
inputs.
NumPy arrays (and whatever NumPy can view on the host) are computed on the CPU. Arrays
on a CUDA device, recognized by `__cuda_array_interface__` or DLPack, stay there.
"""

from typing import Any

import numpy as np

from . import _validate as validate
from ._device import choose, host

__all__ = ["bit_depth", "grid_mask", "median", "nl_means", "superset_sums"]


def grid_mask(
    images: Any,
    keep: Any,
    cell_size: int,
    fill_value: Any = 0.0,
    out: Any = None,
    device: str = "auto",
) -> Any:
    """Covers cells of a square grid with a constant, for any number of views at once.

    A cell is a square of `cell_size` pixels; where the cell does not divide the image,
    the last row and column of cells are cut. Each image is read once, whatever the
    number of views. A covered pixel is exactly `fill_value`, even where the image holds
    NaN or infinity.

    Args:
        images: float32 or uint8 array of shape (B, H, W, C), any values.
        keep: boolean array, True where a cell stays visible, of shape (N, B, GH, GW)
            for N views or (B, GH, GW) for one, with `GH = ceil(H / cell_size)` and
            `GW = ceil(W / cell_size)`.
        cell_size: side of a cell in pixels, at least 1.
        fill_value: value of covered pixels, a number or one per channel; for uint8
            images integers from 0 to 255.
        out: array to write the result into, not overlapping the inputs, or None for a
            new one.
        device: `"auto"` computes where the images live; `"cpu"` and `"cuda"` force a
            device. NumPy images forced to `"cuda"` come back as NumPy.

    Returns:
        An array of the dtype of `images`, of shape (N, B, H, W, C) or (B, H, W, C) as
        `keep` has a view axis or not. It is `out` where `out` is given.

    Raises:
        TypeError: `images`, `keep`, `fill_value`, `cell_size` or `out` is of a wrong
            type or dtype.
        ValueError: a wrong rank or number of channels, a grid that does not fit, a
            value out of range, an `out` of the wrong shape or overlapping an input.
        RuntimeError: CUDA is asked for and cannot be used; the message says why.

    Example:
        >>> import numpy as np
        >>> from keras_maskdef import kernels
        >>> images = np.ones((1, 2, 4, 1), "float32")
        >>> keep = np.array([[[True, False]]])
        >>> kernels.grid_mask(images, keep, cell_size=2)[0, :, :, 0]
        array([[1., 1., 0., 0.],
               [1., 1., 0., 0.]], dtype=float32)

    Source:
        Xu, Zhang, Zhao and Fang, "A Mask-Based Adversarial Defense Scheme",
        Algorithms 15 (2022) 461.
    """
    place = choose(device, images)
    images, keep = place.asarray(images), place.asarray(keep)
    validate.check_images(images)
    cell_size = validate.integer("cell_size", cell_size, 1)
    validate.check_keep(keep, images, cell_size)
    cell_size = min(cell_size, max(images.shape[1:3]))  # same cells, a small number
    fill = validate.fill_per_channel(fill_value, images)
    shape = tuple(keep.shape[:-3]) + tuple(images.shape)
    result = place.output(out, shape, images.dtype, (images, keep))
    place.run("grid_mask", (images, keep), (cell_size, fill), result)
    return result if out is None else out


def bit_depth(images: Any, bits: int, out: Any = None, device: str = "auto") -> Any:
    """Rounds every value to one of `2**bits` evenly spaced levels.

    float32: `rint(x * L) / L` with `L = 2**bits - 1`, computed in float32 and rounded
    half to even. Values in [0, 1] stay there; others are neither clipped nor refused,
    NaN stays NaN. uint8: the same formula on `x / 255`, the level then expressed in
    0..255 again and rounded to the nearest integer, `rint(255 * rint(x / 255 * L) / L)`
    in exact arithmetic, where no tie can occur since L and 255 are odd. 8 bits leave
    uint8 images unchanged.

    Args:
        images: float32 array in [0, 1] or uint8 array, of shape (B, H, W, C).
        bits: number of bits a value keeps, 1 to 8.
        out: array to write the result into, not overlapping the images, or None for a
            new one.
        device: `"auto"` computes where the images live; `"cpu"` and `"cuda"` force a
            device. NumPy images forced to `"cuda"` come back as NumPy.

    Returns:
        An array of the shape and dtype of `images`. It is `out` where `out` is given.

    Raises:
        TypeError: `images`, `bits` or `out` is of a wrong type or dtype.
        ValueError: a wrong rank or number of channels, `bits` outside 1..8, an `out`
            of the wrong shape or overlapping the images.
        RuntimeError: CUDA is asked for and cannot be used; the message says why.

    Example:
        >>> import numpy as np
        >>> from keras_maskdef import kernels
        >>> images = np.array([0.1, 0.5, 0.6, 0.9], "float32").reshape(1, 2, 2, 1)
        >>> kernels.bit_depth(images, bits=1).ravel()
        array([0., 0., 1., 1.], dtype=float32)

    Source:
        Xu, Evans and Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep
        Neural Networks", NDSS 2018, section on color bit depths.
    """
    place = choose(device, images)
    images = place.asarray(images)
    validate.check_images(images)
    bits = validate.integer("bits", bits, 1, 8)
    result = place.output(out, tuple(images.shape), images.dtype, (images,))
    place.run("bit_depth", (images,), (bits,), result)
    return result if out is None else out


def median(images: Any, size: int, out: Any = None, device: str = "auto") -> Any:
    """Replaces every value by the median of a square window of its channel.

    Equal to `scipy.ndimage.median_filter(images, size=(1, size, size, 1),
    mode="reflect")`: beyond the border the image is mirrored with its edge pixel
    repeated; an even window reaches one pixel further up and left than down and right
    and gives the upper of its two middle values. NaN counts as larger than infinity, as
    in `np.sort`: the result is NaN where a window's median is one. On the CPU a batch
    that holds NaN takes a second, slower pass. Where a window holds both zeros, the
    sign of a zero result is not specified.

    Args:
        images: float32 or uint8 array of shape (B, H, W, C), any values.
        size: side of the window in pixels, 2 to 7 and no larger than the image.
        out: array to write the result into, not overlapping the images, or None for a
            new one.
        device: `"auto"` computes where the images live; `"cpu"` and `"cuda"` force a
            device. NumPy images forced to `"cuda"` come back as NumPy.

    Returns:
        An array of the shape and dtype of `images`. It is `out` where `out` is given.

    Raises:
        TypeError: `images`, `size` or `out` is of a wrong type or dtype.
        ValueError: a wrong rank or number of channels, `size` outside 2..7 or above
            the image, an `out` of the wrong shape or overlapping the images.
        RuntimeError: CUDA is asked for and cannot be used; the message says why.

    Example:
        >>> import numpy as np
        >>> from keras_maskdef import kernels
        >>> images = np.zeros((1, 3, 3, 1), "uint8")
        >>> images[0, 1, 1] = 255
        >>> kernels.median(images, size=3).max()
        np.uint8(0)

    Source:
        Xu, Evans and Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep
        Neural Networks", NDSS 2018, section on local smoothing.
    """
    place = choose(device, images)
    images = place.asarray(images)
    validate.check_images(images)
    size = validate.integer("size", size, 2, 7)
    validate.check_window("size", size, images)
    result = place.output(out, tuple(images.shape), images.dtype, (images,))
    place.run("median", (images,), (size,), result)
    return result if out is None else out


def nl_means(
    images: Any,
    strength: float,
    patch_size: int,
    search_size: int,
    out: Any = None,
    device: str = "auto",
) -> Any:
    """Replaces every pixel by a mean over its search window, weighted by similarity.

    Bit for bit OpenCV's non-local means, image by image: `fastNlMeansDenoising(x, None,
    strength, patch_size, search_size)` for one channel and
    `fastNlMeansDenoisingColored(x, None, strength, strength, patch_size, search_size)`
    for three. A pixel weighs `exp(-d / strength**2)`, with `d` the mean squared
    difference of the patches round both pixels on the 0..255 scale; weights under 0.001
    are zero, borders are mirrored about the edge pixel, all in OpenCV's fixed point.
    OpenCV itself is not needed.

    Color images go through 8-bit Lab, whose lightness and color are filtered
    separately. OpenCV takes the first channel for blue; images are passed on unchanged,
    so RGB images are read as BGR. EvadeML-Zoo, and the results published with it, use
    the function in this way. To read RGB images as RGB, pass `images[..., ::-1]` and
    reverse the result.

    float32 images are filtered as `clip(rint(255 * x), 0, 255)` and the result divided
    by 255: it has 256 levels. NaN is filtered as 0.

    Args:
        images: float32 array in [0, 1] or uint8 array, of shape (B, H, W, 1) or
            (B, H, W, 3).
        strength: filter strength on the 0..255 scale, above 0; OpenCV's `h`.
        patch_size: side of a patch in pixels, odd, 1 to 127. (OpenCV takes the next
            odd number for an even one.)
        search_size: side of the search window in pixels, odd, 1 to 2901. Both sizes
            may exceed the image.
        out: array to write the result into, not overlapping the images, or None for a
            new one.
        device: `"auto"` or `"cpu"`. There is no CUDA kernel; images must be on the
            host.

    Returns:
        An array of the shape and dtype of `images`. It is `out` where `out` is given.

    Raises:
        TypeError: `images`, `strength`, a size or `out` is of a wrong type or dtype.
        ValueError: a wrong rank, channels other than 1 or 3, `strength` not above 0 or
            not finite, a size even or out of range, an `out` of the wrong shape or
            overlapping the images.
        RuntimeError: CUDA is asked for, or the images are on a CUDA device.

    Example:
        >>> import numpy as np
        >>> from keras_maskdef import kernels
        >>> images = np.full((1, 8, 8, 3), 0.5, "float32")
        >>> images[0, 4, 4] += 0.01
        >>> smooth = kernels.nl_means(images, strength=4, patch_size=3, search_size=13)
        >>> np.ptp(smooth) < np.ptp(images)
        np.True_

    Source:
        Buades, Coll and Morel, "A Non-Local Algorithm for Image Denoising", CVPR 2005;
        as a defence, "13-3-4" for `search_size`, `patch_size` and `strength`, Xu, Evans
        and Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural
        Networks", NDSS 2018, section on non-local smoothing.
    """
    place = host("nl_means", device, images)
    images = place.asarray(images)
    validate.check_images(images, channels=(1, 3))
    strength = validate.positive("strength", strength)
    patch_size = validate.odd_integer("patch_size", patch_size, 127)
    search_size = validate.odd_integer("search_size", search_size, 2901)
    result = place.output(out, tuple(images.shape), images.dtype, (images,))
    window = (strength, patch_size, search_size)
    place.run("nl_means", (images,), window, result)
    return result if out is None else out


def superset_sums(values: Any) -> np.ndarray:
    """Sums over all supersets of a set of bits, for every set at once.

    An exact certificate needs these sums: for every set of cells, the share of the
    votes of all masks that hide at least these cells. All sums take `n * 2**(n - 1)`
    additions, where one set alone takes up to `2**n`.

    Args:
        values: float64 or int64 array of shape (2**n,). An index stands for the set of
            its bits.

    Returns:
        An array of that shape and dtype: at each index the sum of the values at all
        indices that contain its bits.

    Raises:
        TypeError: `values` is of another dtype.
        ValueError: `values` is not one axis of 1, 2, 4, 8, ... values.

    Example:
        >>> import numpy as np
        >>> from keras_maskdef import kernels
        >>> kernels.superset_sums(np.array([1, 2, 4, 8]))
        array([15, 10, 12,  8])

    Source:
        The zeta transform of Yates, "The Design and Analysis of Factorial
        Experiments", 1937, and Bjorklund et al., "Fourier meets Moebius: fast subset
        convolution", STOC 2007, section 2.2.
    """
    array = np.asarray(values)
    if array.dtype not in (np.float64, np.int64):
        raise TypeError(
            f"`values` must be float64 or int64. Received: values.dtype={array.dtype}"
        )
    if array.ndim != 1 or array.size == 0 or array.size & (array.size - 1):
        raise ValueError(
            "`values` must be one axis of 1, 2, 4, 8, ... values. "
            f"Received: values.shape={array.shape}"
        )
    from . import cpu

    return cpu.superset_sums(array)
