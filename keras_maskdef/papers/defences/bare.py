"""Settings of an undefended classifier."""

from dataclasses import dataclass
from typing import Any

from keras_maskdef.papers.network import Network


@dataclass(frozen=True)
class Bare:
    """A classifier without a defence.

    Args:
        network: The network that is trained.
    """

    network: Network

    def build(self, trained: Any) -> Any:
        """The model; `trained` returns the model of a training."""
        return trained(self.network)
