"""MagNet's reformer, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Autoencoder:
    """An autoencoder that is trained to give noisy images back without the noise.

    Args:
        dataset: A name of `keras_maskdef.datasets`.
        width: Of `baselines.autoencoder`.
        noise: Standard deviation of the noise in training.
        epochs: Passes over the training images.
        batch_size: Images in a training step.
        learning_rate: Adam's.
        images: The first of the training images; all by default.
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
        """What it is, in a few words."""
        return f"autoencoder of width {self.width}"
