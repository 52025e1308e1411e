"""Settings of the masks of a training or a vote."""

from dataclasses import asdict, dataclass

from keras_maskdef.layers import RandomGridMask


@dataclass(frozen=True)
class MaskSetting:
    """The arguments of a `RandomGridMask` that matter in an experiment.

    Args:
        cell_size: Side of a cell in pixels.
        mask_rate: Fraction of hidden cells, or the lowest and the highest.
        sampling: As `RandomGridMask` takes it.
        fill_value: Value of hidden pixels.
    """

    cell_size: int
    mask_rate: float | tuple[float, float] = 0.75
    sampling: str = "bernoulli"
    fill_value: float = 0.0

    def layer(self) -> RandomGridMask:
        """A new layer with this setting."""
        return RandomGridMask(**asdict(self))
