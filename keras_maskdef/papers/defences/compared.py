"""Settings of baselines: other people's defences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.network import Network


@dataclass(frozen=True)
class Compared:
    """A baseline, a function of `keras_maskdef.baselines`.

    Args:
        network: The network that is trained.
        method: Name of the function.
        options: Its arguments, besides the trained models.
        reformer: An autoencoder that is trained and passed to it as well, if any.
    """

    network: Network
    method: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reformer: Autoencoder | None = None

    def build(self, trained: Any) -> Any:
        """The defence; `trained` returns the result of a training."""
        from keras_maskdef import baselines

        parts = [trained(self.network)]
        if self.reformer is not None:
            parts.append(trained(self.reformer))
        return getattr(baselines, self.method)(*parts, **self.options)
