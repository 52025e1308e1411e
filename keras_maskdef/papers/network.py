"""Settings of a classifier and its training."""

import inspect
from dataclasses import dataclass
from typing import Optional

import keras

from keras_maskdef import architectures
from keras_maskdef.papers.mask_setting import MaskSetting

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Network:
    """A classifier and its training.

    Args:
        dataset: A name of `keras_maskdef.datasets`.
        architecture: A name of `keras_maskdef.architectures`.
        width: Width, for architectures that have one; `None` for the default.
        mask: Masks on the training images, if any.
        noise: Standard deviation of Gaussian noise in training.
        parseval: Beta of `baselines.Parseval` on every kernel; 0 for none.
        epochs: Passes over the training images.
        batch_size: Images in a training step.
        learning_rate: Adam's initial learning rate.
        schedule: `"constant"`, or `"cosine"` from the initial rate to zero.
        images: Number of training images, the first ones; all by default.
        seed: Integer for weights, masks and the order of the images.
        pretrained: A network of the same architecture and width whose weights the
            training starts from; by default it starts from scratch.
    """

    dataset: str
    architecture: str
    width: float | None = None
    mask: MaskSetting | None = None
    noise: float = 0.0
    parseval: float = 0.0
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: str = "constant"
    images: int | None = None
    seed: int = 0
    pretrained: Optional["Network"] = None

    def build(self, image_shape: tuple[int, ...], classes: int) -> keras.Model:
        """Builds the untrained network.

        Args:
            image_shape: `(height, width, channels)`.
            classes: Number of classes.

        Raises:
            ValueError: For a width of an architecture that has none, or images that do
                not fit it.
        """
        function = getattr(architectures, self.architecture)
        width = {} if self.width is None else {"width": self.width}
        if width and "width" not in inspect.signature(function).parameters:
            raise ValueError(
                f"`width` must be left out: {self.architecture!r} comes in one width. "
                f"Received: width={self.width}"
            )
        model = function(image_shape, classes, **width)
        if self.parseval:
            from keras_maskdef.baselines import with_parseval

            model = with_parseval(model, self.parseval)
        return model

    @property
    def title(self) -> str:
        """A short description that identifies the network."""
        parts = [self.architecture]
        if self.width is not None:
            parts.append(f"of width {self.width:g}")
        if self.mask is not None:
            parts.append(f"under {self.mask.cell_size}-px masks {_rates(self.mask)}")
        if self.noise:
            parts.append(f"under noise {self.noise:g}")
        if self.parseval:
            parts.append("as a Parseval network")
        if self.pretrained is not None:
            parts.append("from a trained one")
        if self.seed:
            parts.append(f"(seed {self.seed})")
        return " ".join(parts)


def _rates(mask: MaskSetting) -> str:
    rates = mask.mask_rate if isinstance(mask.mask_rate, tuple) else (mask.mask_rate,)
    return " to ".join(f"{rate:.2g}" for rate in rates)
