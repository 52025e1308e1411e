"""Settings of a masker that is trained in turn with its classifier."""

from dataclasses import dataclass

import keras

from keras_maskdef.layers import MedianFilter
from keras_maskdef.papers.network import Network


@dataclass(frozen=True)
class Alternation:
    """A masker and a classifier that are trained in turn.

    Args:
        network: The classifier before the alternation, trained on unmasked images (SFM
            paper, section 5.1).
        masker_widths: Widths of the Attention U-Net.
        masker: Whether there is a masker; without one the classifier is trained on
            with filtered images only.
        median: Side of the median filter's window in pixels.
        rho: Argument of `AlternatingTraining`, in place of the reconstruction weight.
        weights: Weights of the sparsity, semantic and reconstruction losses, in place
            of `rho`.
        without: Losses to leave out, some of `"semantic"` and `"reconstruction"`.
        norms: Argument of `AlternatingTraining`.
        train_on: Argument of `AlternatingTraining`.
        epochs: Number of alternations.
        images: Images in one phase of an alternation; all by default.
        learning_rate: Adam's learning rate for the classifier.
        masker_learning_rate: Adam's learning rate for the masker.
        seed: Integer of at least 0 for the masker's weights and the order of images.
    """

    network: Network
    masker_widths: tuple[int, ...] = (8, 16, 32)
    masker: bool = True
    median: int = 2
    rho: float = 1.07
    weights: tuple[float, float, float] | None = None
    without: tuple[str, ...] = ()
    norms: str = "image"
    train_on: str = "masked"
    epochs: int = 8
    images: int | None = None
    learning_rate: float = 5e-4
    masker_learning_rate: float = 3e-3
    seed: int = 0

    def filters(self) -> list[keras.layers.Layer]:
        """New filter layers that follow the masker."""
        return [MedianFilter(self.median)]

    @property
    def title(self) -> str:
        """A short description that identifies the training."""
        if not self.masker:
            return f"{self.network.title}, on filtered images"
        weights = f"rho {self.rho:g}"
        if self.weights is not None:
            weights = f"w1 {self.weights[0]:g}"
        left_out = "".join(f", without {name} loss" for name in self.without)
        on = "" if self.train_on == "masked" else f", on {self.train_on} images"
        return f"{self.network.title}, in turn with a masker, {weights}{left_out}{on}"
