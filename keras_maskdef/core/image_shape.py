"""What a shape of images says: height, width, channels, cells."""

from typing import Any


def spatial(shape: tuple, data_format: str) -> tuple:
    """Height and width of images of a shape."""
    return shape[-3:-1] if data_format == "channels_last" else shape[-2:]


def channels(shape: tuple, data_format: str) -> Any:
    return shape[-1 if data_format == "channels_last" else -3]


def grid_shape(shape: tuple, cell_size: int, data_format: str) -> tuple:
    """Rows and columns of cells; the last ones may be cut."""
    height, width = spatial(shape, data_format)
    # Of positive numbers: ONNX rounds quotients towards zero.
    return tuple(
        None if side is None else (side + cell_size - 1) // cell_size
        for side in (height, width)
    )
