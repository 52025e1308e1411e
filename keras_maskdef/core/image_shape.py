"""Height, width, channels and cells of a shape of images."""

from typing import Any


def spatial(shape: tuple, data_format: str) -> tuple:
    """Height and width."""
    return shape[-3:-1] if data_format == "channels_last" else shape[-2:]


def channels(shape: tuple, data_format: str) -> Any:
    return shape[-1 if data_format == "channels_last" else -3]


def grid_shape(shape: tuple, cell_size: int, data_format: str) -> tuple:
    """Rows and columns of cells; cells at the end may be cut."""
    height, width = spatial(shape, data_format)
    # Positive operands only: ONNX rounds quotients towards zero.
    return tuple(
        None if side is None else (side + cell_size - 1) // cell_size
        for side in (height, width)
    )
