"""The random grid mask of MAD."""

import itertools
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_maskdef.backend import random_numbers
from keras_maskdef.backend.replicas import ReplicaSeedGenerator
from keras_maskdef.backend.seed_generators import GivenSeed
from keras_maskdef.core.arguments import (
    as_many,
    as_numbers,
    at_least,
    check_channels,
    check_choice,
    check_fraction,
    check_images,
    check_int,
    check_positive_int,
    check_seed,
    ensured,
    known,
    sizes_of,
)
from keras_maskdef.core.image_shape import channels, grid_shape, spatial
from keras_maskdef.layers._grid_mask_ops import grid_mask
from keras_maskdef.layers._grid_sampling import SAMPLINGS, partition_groups
from keras_maskdef.layers._image_layer import ImageLayer

ACTIVE = ("always", "training", "inference")


@keras.saving.register_keras_serializable(package="keras_maskdef")
class RandomGridMask(ImageLayer):
    """Hides random square cells of each image, in training and in prediction.

    The image is divided into cells of `cell_size` x `cell_size` pixels, counted
    from its upper left corner; where the size is no multiple of `cell_size`, the
    last row and column of cells are cut. Each call draws new cells for each image,
    the same for all its channels, and sets the hidden pixels to `fill_value`.
    Visible pixels keep their bits. The former value of a hidden pixel, even NaN,
    does not affect the result.

    Unlike Keras' random layers, this layer also masks in prediction: in MAD the
    randomness is the defence. In the paper, masking only in training gave a weaker
    model than no masking at all (its Table 2).

    Args:
        cell_size: Integer, the side of a cell in pixels. The paper's "8x8 grid"
            is `cell_size=8`, which is 16 cells on a 32x32 image.
        mask_rate: Float in [0, 1], the fraction of cells to hide; or a range such as
            `(0.4, 0.8)`, from which every view draws its rate uniformly. A range is
            for training (certificates use views of many rates); a partition takes
            one rate.
        fill_value: Number, or one number per channel, that hidden pixels get.
        sampling: How cells are chosen.
            `"bernoulli"`: each cell is hidden independently with probability
            `mask_rate`, as in the paper.
            `"fixed_count"`: `round(mask_rate * cells)` cells are hidden.
            `"partition"`: consecutive views of one image show disjoint groups of
            cells, so that `n = 1 / (1 - mask_rate)` views show each cell exactly
            once; then the cells are split anew. `n` must be a whole number (rates
            0, 1/2, 2/3, 3/4, 4/5, ..., or 1, which hides all) and at most the
            number of cells. The groups' sizes differ by at most one cell. A
            single call shows one group.
        active: When the layer masks: `"always"`, only in `"training"`, or only
            in `"inference"`. Otherwise it returns its input.
        seed: Integer that makes the masks repeatable. With `None` they come from
            a secret 64-bit key, a new one after a saved model is loaded: an attacker
            can learn a defence that replays its masks (docs/security.md).
            `keras.utils.set_random_seed` makes the masks repeatable, as in every
            Keras layer; an exported model uses the entropy of its server. Threads
            never draw the same mask, nor do the workers of a PyTorch `DataLoader`, the
            replicas of a `tf.distribute` strategy, or the processes of PyTorch's
            `DistributedDataParallel` (docs/pipelines.md, docs/distribution.md).
        data_format: `"channels_last"` or `"channels_first"`; the default is
            `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Call arguments:
        images: Floating point images of any value range, `(batch, height, width,
            channels)`, or one image without the batch axis (or both with the
            channels first). The batch, height and width may be unknown. Or a
            dictionary with the images under "images", as Keras' augmentations take
            it; its other entries are returned unchanged.
        training: Boolean, see `active`.

    Returns:
        The masked images, of the shape and dtype of `images` (the dtype is the
        layer's compute dtype, as everywhere in Keras).

    Gradient:
        1 through visible pixels, 0 through hidden ones. No gradient reaches the
        choice of cells.

    Raises:
        ValueError: For an argument out of its range, images of a wrong rank,
            cells larger than the image, or a `fill_value` that does not fit the
            channels.
        TypeError: For images that are not floating point.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> mask = kmd.RandomGridMask(cell_size=2, mask_rate=0.5, sampling="fixed_count")
    >>> masked = mask(np.ones((1, 4, 4, 1), "float32"))
    >>> float(keras.ops.sum(masked))
    8.0

    Reference:
        Xu, Zhang, Zhao, Fang: A Mask-Based Adversarial Defense Scheme (MAD),
        Algorithms 15 (2022) 461, sections 3.1 and 4.2.
    """

    def __init__(
        self,
        cell_size: int,
        mask_rate: float | Sequence[float] = 0.75,
        fill_value: float | Sequence[float] = 0.0,
        sampling: str = "bernoulli",
        active: str = "always",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cell_size = check_positive_int("cell_size", cell_size)
        self.mask_rate = _check_mask_rate(mask_rate, sampling)
        self.fill_value = _check_fill_value(fill_value)
        self.sampling = check_choice("sampling", sampling, tuple(SAMPLINGS))
        self.active = check_choice("active", active, ACTIVE)
        self.seed = check_seed("seed", seed)
        self.seed_generator = ReplicaSeedGenerator(self.seed)
        self.data_format = check_choice(
            "data_format",
            data_format or keras.config.image_data_format(),
            ("channels_last", "channels_first"),
        )
        if sampling == "partition":
            partition_groups(self._rate)
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        if not self.is_active(training):
            return self._checked(images)
        return self.apply(images, self.sample(images))

    def is_active(self, training: bool | None) -> bool:
        """Whether a call with this `training` masks."""
        return self.active == "always" or (self.active == "training") == bool(training)

    def sample(
        self,
        images: Any,
        views: int | None = None,
        seed: Any = None,
    ) -> Any:
        """Draws the visible cells for a batch of images.

        Args:
            images: The images to be masked; only their shape is used.
            views: Number of views of each image, or `None` for one view and no
                axis for it.
            seed: The source of randomness, by default the layer's generator. A
                `keras.random.SeedGenerator`; or an integer from 0 to 2**32 - 1, also
                as a tensor of any integer dtype, that alone determines the draw. In
                data pipelines give an integer, a different one for each element.

        Returns:
            `keep`, booleans, true where a cell is visible: `(batch, rows,
            columns)`, with an axis of `views` in front where that is given. For an
            image without a batch axis there is no such axis here either.
        """
        shape = sizes_of(self._checked(images))
        rows, columns = grid_shape(shape, self.cell_size, self.data_format)
        batch = shape[:-3]

        uniform = self._uniform(seed)

        count = 1 if views is None else check_positive_int("views", views)
        size = batch[0] if batch else 1
        rate = self.mask_rate
        if isinstance(rate, tuple):
            low, high = rate
            rate = low + (high - low) * uniform(count, size, 1)
        keep = SAMPLINGS[self.sampling](count, size, rows * columns, rate, uniform)
        lead = () if views is None else (views,)
        return ops.reshape(keep, (*lead, *batch, rows, columns))

    def apply(self, images: Any, keep: Any) -> Any:
        """Masks images with given cells.

        Args:
            images: `(batch, height, width, channels)` or one image without the
                batch axis, in the layer's `data_format`.
            keep: Booleans of the shapes that `sample` returns.

        Returns:
            The masked images, with the axis of views in front if `keep` has it.
        """
        images = self._checked(ops.convert_to_tensor(images))
        keep = ops.convert_to_tensor(keep, dtype="bool")
        images = self._with_cells_of(images, keep)
        fill = ops.broadcast_to(
            ops.convert_to_tensor(self.fill_value, dtype=images.dtype),
            (channels(images.shape, self.data_format),),
        )
        return grid_mask(images, keep, self.cell_size, fill, self.data_format)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def compute_output_spec(self, images: Any, training: bool | None = None) -> Any:
        self._checked(images)
        return keras.KerasTensor(images.shape, dtype=images.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "cell_size": self.cell_size,
            "mask_rate": self.mask_rate,
            "fill_value": self.fill_value,
            "sampling": self.sampling,
            "active": self.active,
            "seed": self.seed,
            "data_format": self.data_format,
        }

    def _uniform(self, seed: Any) -> Callable[..., Any]:
        """Returns a function that draws numbers in [0, 1) of a given shape."""
        draws = itertools.count()
        if seed is None:
            seed = self.seed_generator
        elif not isinstance(seed, keras.random.SeedGenerator):
            if isinstance(seed, (Real, np.generic)):
                seed = check_int("seed", seed, 0, 2**32 - 1)
            seed = GivenSeed(seed)

        def uniform(*shape: Any) -> Any:
            # In half precision the rate would be off by up to 1/2048.
            return random_numbers.uniform(shape, seed, next(draws))

        return uniform

    @property
    def _rate(self) -> float:
        """The one rate of a partition."""
        assert isinstance(self.mask_rate, float)
        return self.mask_rate

    def _checked(self, images: Any) -> Any:
        """Returns the images, or raises where they cannot be masked."""
        check_images(images)
        depth = check_channels(images, self.data_format)
        if isinstance(self.fill_value, tuple) and len(self.fill_value) != depth:
            raise ValueError(
                f"`fill_value` must be one number, or one for each of the {depth} "
                f"channels. Received: fill_value={self.fill_value}"
            )
        sizes = sizes_of(images)
        images = ensured(
            images,
            [
                at_least(side, self.cell_size)
                for side in spatial(sizes, self.data_format)
            ],
            "`cell_size` must be at most the image's height and width.",
            {"cell_size": self.cell_size, "images.shape": sizes},
        )
        return self._with_groups(images) if self.sampling == "partition" else images

    def _with_groups(self, images: Any) -> Any:
        sizes, groups = sizes_of(images), partition_groups(self._rate)
        rows, columns = grid_shape(sizes, self.cell_size, self.data_format)
        cells = None if rows is None or columns is None else rows * columns
        there_are = cells if isinstance(cells, int) else "fewer"
        return ensured(
            images,
            [at_least(cells, groups)],
            f'`mask_rate` with sampling="partition" makes {groups} groups of cells '
            f"here, but there are {there_are} cells.",
            {
                "mask_rate": self.mask_rate,
                "cell_size": self.cell_size,
                "images.shape": sizes,
            },
        )

    def _with_cells_of(self, images: Any, keep: Any) -> Any:
        sizes, received = sizes_of(images), sizes_of(keep)
        expected = sizes[:-3] + grid_shape(sizes, self.cell_size, self.data_format)
        lead = len(received) - len(expected)
        pairs = zip(received[max(lead, 0) :], expected, strict=False)
        return ensured(
            images,
            [lead in (0, 1), *(as_many(*pair) for pair in pairs)],
            f"`keep` must have the shape {known(expected)}, or that with an axis of "
            f"views in front, for cells of {self.cell_size} pixels on the images.",
            {"keep.shape": received, "images.shape": sizes},
        )


def _check_mask_rate(rate: Any, sampling: str) -> float | tuple[float, float]:
    numbers = as_numbers(rate)
    if not numbers.ndim:
        return check_fraction("mask_rate", rate)
    if numbers.shape != (2,) or not 0.0 <= numbers[0] <= numbers[1] <= 1.0:
        raise ValueError(
            "`mask_rate` must be a number in [0, 1], or the lowest and the highest of "
            f"them. Received: mask_rate={rate!r}"
        )
    if sampling == "partition":
        raise ValueError(
            '`mask_rate` must be one number with sampling="partition", whose views '
            f"share the cells out. Received: mask_rate={rate!r}"
        )
    return float(numbers[0]), float(numbers[1])


def _check_fill_value(value: Any) -> float | tuple[float, ...]:
    numbers = as_numbers(value)
    if numbers.ndim > 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(
            "`fill_value` must be a finite number, or one per channel. "
            f"Received: fill_value={value!r}"
        )
    return tuple(numbers.tolist()) if numbers.ndim else float(numbers)
