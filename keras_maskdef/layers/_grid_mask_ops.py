"""Grid masking in `keras.ops`: the twin of `kernels.grid_mask` inside a model."""

from typing import Any

from keras import ops

from keras_maskdef.core.image_shape import spatial


def grid_mask(
    images: Any, keep: Any, cell_size: int, fill: Any, data_format: str
) -> Any:
    """Sets hidden cells to the fill value; `keep` may have a leading axis of views."""
    if data_format == "channels_last":
        return _channels_last(images, keep, cell_size, fill)
    height, width = spatial(ops.shape(images), data_format)
    pixels = _cells_to_pixels(keep, cell_size, height, width)
    return ops.where(ops.expand_dims(pixels, -3), images, ops.reshape(fill, (-1, 1, 1)))


def _channels_last(images: Any, keep: Any, cell_size: int, fill: Any) -> Any:
    """Broadcasts over rows of width * channels values, which is fastest on a CPU.

    256x32x32x3, five views, plain TensorFlow on two cores: 7 ms this way, 55 ms with
    an axis for the channels, 20 ms with `repeat`.
    """
    *batch, height, width, depth = ops.shape(images)
    if _divides(cell_size, height) and _divides(cell_size, width):
        visible = ops.expand_dims(ops.expand_dims(keep, -2), -1)
        rows = [height // cell_size, cell_size, width // cell_size, cell_size * depth]
        fill = ops.tile(fill, (cell_size,))
    else:
        visible = _cells_to_pixels(keep, cell_size, height, width, depth)
        rows = [height, width * depth]
        fill = ops.tile(fill, (width,))
    masked = ops.where(visible, ops.reshape(images, (*batch, *rows)), fill)
    return ops.reshape(masked, (*ops.shape(keep)[:-2], height, width, depth))


def _cells_to_pixels(
    keep: Any, cell_size: int, height: Any, width: Any, depth: int = 1
) -> Any:
    """Expands `keep` to one value per row and `depth` values per column of pixels.

    `ops.take` would fail: compiled by PyTorch 2.13 for an unknown number of indices,
    it reads garbage for the last few and aborts the process.
    """
    *lead, rows, columns = ops.shape(keep)
    cells = ops.expand_dims(ops.expand_dims(keep, -2), -1)
    sides = (rows, cell_size, columns, cell_size * depth)
    pixels = ops.reshape(
        ops.broadcast_to(cells, (*lead, *sides)),
        (*lead, rows * cell_size, columns * cell_size * depth),
    )
    return pixels[..., :height, : width * depth]


def _divides(side: int, length: Any) -> bool:
    return isinstance(length, int) and length % side == 0
