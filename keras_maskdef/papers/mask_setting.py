"""The masks of a training or of a vote, as data."""

from dataclasses import asdict, dataclass

from keras_maskdef.layers import RandomGridMask


@dataclass(frozen=True)
class MaskSetting:
    """The arguments of a `RandomGridMask` that matter in an experiment.

    Args:
        cell_size: Pixels, the side of a cell.
        mask_rate: Fraction of cells hidden, or the lowest and the highest.
        sampling: As `RandomGridMask` takes it.
        fill_value: Number that hidden pixels get.
    """

    cell_size: int
    mask_rate: float | tuple[float, float] = 0.75
    sampling: str = "bernoulli"
    fill_value: float = 0.0

    def layer(self) -> RandomGridMask:
        """A new layer of this setting."""
        return RandomGridMask(**asdict(self))
