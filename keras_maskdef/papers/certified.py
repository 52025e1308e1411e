"""A classifier that is trained to be certified, as data."""

from keras_maskdef.papers.defences import Vote
from keras_maskdef.papers.mask_setting import MaskSetting
from keras_maskdef.papers.network import Network


def trained_for(
    cell_size: int, rates: tuple[float, float], fill_value: float = 0.5
) -> MaskSetting:
    """The masks of a training for certificates.

    Args:
        cell_size: Pixels, the side of a cell.
        rates: The fractions of cells hidden: each image has one between the two. Few
            hidden cells are what double masking looks at, many what the vote does.
        fill_value: Number that hidden pixels get. One that images seldom have lets the
            classifier tell a hidden cell from an empty one.
    """
    return MaskSetting(cell_size, rates, "fixed_count", fill_value)


def certified_vote(network: Network, mask_rate: float) -> Vote:
    """The vote that is certified: masks of a fixed count, of which there are few.

    Args:
        network: Trained under masks of `trained_for`.
        mask_rate: Fraction of cells hidden in the vote.

    Raises:
        ValueError: For a network without masks.
    """
    if network.mask is None:
        raise ValueError(
            "`network` must be trained under masks. Received: network.mask=None"
        )
    seen = network.mask
    return Vote(
        network,
        MaskSetting(seen.cell_size, mask_rate, "fixed_count", seen.fill_value),
    )
