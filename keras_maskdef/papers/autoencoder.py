"""Settings of MagNet's reformer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Autoencoder:
    """An autoencoder that is trained to remove noise from images.

    Args:
        dataset: A name of `keras_maskdef.datasets`.
        width: Width of `baselines.autoencoder`.
        noise: Standard deviation of the noise in training.
        epochs: Passes over the training images.
        batch_size: Images in a training step.
        learning_rate: Adam's.
        images: Number of training images, the first ones; all by default.
        seed: Integer for weights, noise and the order of the images.
    """

    dataset: str
    width: int = 32
    noise: float = 0.1
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-3
    images: int | None = None
    seed: int = 0

    @property
    def title(self) -> str:
        """A short description."""
        return f"autoencoder of width {self.width}"
