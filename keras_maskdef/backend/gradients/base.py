"""What attacks need of Keras' backend: compiled calls, gradients by images, seeds."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

# From images to logits `(views * n, classes)`, one view after the other.
Logits = Callable[[Any], Any]
# From labels and logits to one number for each image.
Loss = Callable[[Any, Any], Any]


class CompiledLoss(NamedTuple):
    """Of images and labels: the losses, and the losses with their sum's gradient."""

    values: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], tuple[Any, Any]]


class Backend(Protocol):
    """One backend, which takes and returns its own tensors.

    Compiled functions use the current weights at each call and advance the random
    states of layers: no masks are compiled in.
    """

    # The module of cleverhans' attacks; None where they do not run.
    cleverhans: str | None

    def images(self, images: Any) -> Any:
        """Images as a float32 tensor."""

    def labels(self, labels: Any) -> Any:
        """Labels as integers of the dtype that the backend's own argmax has."""

    def forward(self, logits: Logits, images: Any, scaled: bool) -> Any:
        """Compiles a function of images, with a gradient by images and no other.

        Args:
            logits: Function of a tensor of images that was called before.
            images: Some images of the shape that all will have.
            scaled: Whether gradients go through half precision, see `half_precision`.
        """

    def loss(
        self, logits: Logits, loss: Loss, images: Any, scaled: bool
    ) -> CompiledLoss:
        """Compiles a loss of labels and logits, one number for each image."""

    def rows(self, count: int) -> int:
        """How many images to compute if an attack asks for `count`, which may vary."""

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Seeds the generators of attack libraries."""

    def seeded_foolbox(self, seed: int) -> AbstractContextManager[None]:
        """Seeds the generators of foolbox, to the same numbers."""

    def foolbox_model(self, foolbox: Any, logits: Callable[[Any], Any]) -> Any:
        """Wraps a function from images in [0, 1] to logits as a model of foolbox."""
