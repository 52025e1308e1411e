"""What attacks need of Keras' backend: compiled calls, gradients by images, seeds."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

# From images to logits `(views * n, classes)`, those of one view after the other.
Logits = Callable[[Any], Any]
# Of labels and logits, to one number for each image.
Loss = Callable[[Any, Any], Any]


class CompiledLoss(NamedTuple):
    """Of images and labels: one loss each, and these with the sum's gradient."""

    values: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], tuple[Any, Any]]


class Backend(Protocol):
    """One backend, with its own tensors in and out.

    What it compiles sees the weights as they are at each call, and advances the random
    states of layers: no masks are compiled in.
    """

    # Where the attacks of cleverhans are; None where they do not run.
    cleverhans: str | None

    def images(self, images: Any) -> Any:
        """Images as a float32 tensor."""

    def labels(self, labels: Any) -> Any:
        """Labels as integers of the dtype that the backend's own argmax has."""

    def forward(self, logits: Logits, images: Any, scaled: bool) -> Any:
        """A function of images, compiled; with a gradient by images and no other.

        Args:
            logits: Of a tensor of images; it was called before.
            images: Some images of the shape that all will have.
            scaled: Whether gradients go through half precision, see `_half`.
        """

    def loss(
        self, logits: Logits, loss: Loss, images: Any, scaled: bool
    ) -> CompiledLoss:
        """A loss of labels and logits, one number for each image, compiled."""

    def rows(self, count: int) -> int:
        """How many images to calculate where `count` are asked for, at any count."""

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Seeds what libraries draw from."""

    def seeded_foolbox(self, seed: int) -> AbstractContextManager[None]:
        """Seeds what foolbox draws from, to the same numbers."""

    def foolbox_model(self, foolbox: Any, logits: Callable[[Any], Any]) -> Any:
        """Foolbox's model of a function from images in [0, 1] to logits."""
