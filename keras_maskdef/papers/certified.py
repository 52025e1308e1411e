"""Settings of a classifier that is trained for certificates."""

from keras_maskdef.papers.defences import Vote
from keras_maskdef.papers.mask_setting import MaskSetting
from keras_maskdef.papers.network import Network


def trained_for(
    cell_size: int, rates: tuple[float, float], fill_value: float = 0.5
) -> MaskSetting:
    """The masks of a training for certificates.

    Args:
        cell_size: Side of a cell in pixels.
        rates: Lowest and highest fraction of hidden cells; each image draws one between
            them. Double masking predicts with few hidden cells, the vote with many.
        fill_value: Value of hidden pixels. With a value that is rare in images, the
            classifier can tell a hidden cell from an empty one.
    """
    return MaskSetting(cell_size, rates, "fixed_count", fill_value)


def certified_vote(network: Network, mask_rate: float) -> Vote:
    """The vote to certify. Its masks hide a fixed number of cells, so they are few.

    Args:
        network: Trained under masks of `trained_for`.
        mask_rate: Fraction of hidden cells in the vote.

    Raises:
        ValueError: For a network without masks.
    """
    if network.mask is None:
        raise ValueError(
            "`network` must be trained under masks. Received: network.mask=None"
        )
    train_mask = network.mask
    return Vote(
        network,
        MaskSetting(
            train_mask.cell_size, mask_rate, "fixed_count", train_mask.fill_value
        ),
    )
