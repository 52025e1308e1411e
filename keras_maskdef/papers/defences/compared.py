"""Other people's defences, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.network import Network


@dataclass(frozen=True)
class Compared:
    """A method of `keras_maskdef.baselines`.

    Args:
        network: What is trained.
        method: Name of its function.
        options: Its arguments, besides the classifier.
        reformer: What else is trained, and given to it, if anything.
    """

    network: Network
    method: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reformer: Autoencoder | None = None

    def build(self, trained: Any) -> Any:
        """The defence; `trained` gives what a training made."""
        from keras_maskdef import baselines

        parts = [trained(self.network)]
        if self.reformer is not None:
            parts.append(trained(self.reformer))
        return getattr(baselines, self.method)(*parts, **self.options)
