"""No defence, as data."""

from dataclasses import dataclass
from typing import Any

from keras_maskdef.papers.network import Network


@dataclass(frozen=True)
class Bare:
    """A classifier as it is.

    Args:
        network: What is trained.
    """

    network: Network

    def build(self, trained: Any) -> Any:
        """The model; `trained` gives the model of a training."""
        return trained(self.network)
