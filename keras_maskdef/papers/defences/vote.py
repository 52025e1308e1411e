"""Settings of MAD's vote."""

from dataclasses import dataclass
from typing import Any

import keras

from keras_maskdef.layers import VotingEnsemble
from keras_maskdef.papers.mask_setting import MaskSetting
from keras_maskdef.papers.network import Network


@dataclass(frozen=True)
class Vote:
    """A vote over several masked views.

    Args:
        network: The network that is trained.
        mask: The masks of the views.
        votes: Number of views.
        pooling: As `VotingEnsemble` takes it.
    """

    network: Network
    mask: MaskSetting
    votes: int = 5
    pooling: str = "majority"

    def build(self, trained: Any) -> VotingEnsemble:
        """The vote; `trained` returns the model of a training."""
        return self.around(trained(self.network))

    def around(self, classifier: keras.Model) -> VotingEnsemble:
        """The vote around any classifier."""
        train_mask = self.network.mask
        vote = VotingEnsemble(
            classifier,
            self.mask.layer(),
            votes=self.votes,
            pooling=self.pooling,
            train_mask=(
                None if train_mask in (None, self.mask) else train_mask.layer()
            ),
        )
        vote.build((None, *classifier.input_shape[1:]))
        return vote


def partition(network: Network, cell_size: int, mask_rate: float = 0.75) -> Vote:
    """The recommended vote: each cell is in exactly one view; geometric pooling.

    Raises:
        ValueError: For a rate that does not divide the cells into equal parts.
    """
    mask = MaskSetting(cell_size, mask_rate, "partition")
    mask.layer()  # fails now, not after a training
    return Vote(network, mask, round(1 / (1 - mask_rate)), "geometric")
