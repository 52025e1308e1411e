"""A vote over masked views of each image."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_maskdef.core.arguments import (
    check_images,
)
from keras_maskdef.core.output_kind import check_scores
from keras_maskdef.layers.pooled_vote import PooledVote
from keras_maskdef.layers.pooling import pool
from keras_maskdef.layers.random_grid_mask import RandomGridMask


@keras.saving.register_keras_serializable(package="keras_maskdef")
class VotingEnsemble(PooledVote):
    """Lets several masked views of an image vote on its class.

    It wraps any classifier and is used in its place: `compile`, `fit`,
    `evaluate`, `predict` and losses work as with the classifier itself, whose
    weights it shares. It is both a layer and a model.

    In training each image is masked once, by `train_mask` or else `mask`, and the
    output is the classifier's. In inference `votes` masked views of each image go
    through the classifier in one batch, and their outputs are pooled.

    The default is the paper's vote: five Bernoulli views, majority. The library
    recommends `sampling="partition"` with as many votes as groups (four at a rate
    of 3/4) and `pooling="geometric"`: it was more accurate with and without attack,
    with fewer passes. Neither vote stops an adaptive attack: averaging gradients
    over masks removes most of the gain. Report that figure with any other.

    Args:
        classifier: Keras model or layer from images to `(batch, classes)`, two
            classes or more, of any kind: sequential, functional or subclassed.
        mask: `RandomGridMask` for inference, and for training if `train_mask` is
            `None`. It must be active in inference; if it is active only in
            inference, training uses whole images.
        votes: Integer, the number of views of each image, at most 10,000.
        pooling: How views are pooled. `"majority"`: fractions of the votes (MAD);
            ties go to the class with the larger mean probability, so the fractions
            can be off by 1e-6. `"mean"`: mean of the probabilities. `"geometric"`:
            mean of the log-probabilities, normalised.
        train_mask: `RandomGridMask` for training if it differs, such as cells of 8
            pixels in training and 4 in inference (the paper on CIFAR-10).
        from_logits: Boolean, whether the classifier returns logits rather than
            probabilities. `None` infers it from the classifier's last layer. The
            output is of the same kind; as logits it is the logarithm of the pooled
            shares. Views are pooled by their logits: a final softmax is bypassed
            where its layer is accessible.
        votes_per_pass: Integer, views that go through the classifier at once, to
            bound the memory; up to 128 by default.
        **kwargs: `name`, `dtype` and so on, as for any Keras model.

    Call arguments:
        images: Floating point images, `(batch, height, width, channels)`, in the
            masks' `data_format`.
        training: Boolean.

    Returns:
        `(batch, classes)`: in inference pooled shares or their logarithms, in
        float32, or float64 from a float64 classifier; in training the
        classifier's output.

    Gradient:
        Through all views and the classifier. Counting votes has no gradient, so
        `"majority"` uses the gradient of `"mean"`: a zero gradient would only blind
        attacks that are not adapted to it.

    Raises:
        ValueError: For `votes` out of range, a mask that is inactive in inference, an
            unknown pooling, a `from_logits` that is not given and cannot be inferred,
            or a classifier whose output is not `(batch, classes)` or has a single
            class, such as one sigmoid.
        TypeError: For a `mask` that is no `RandomGridMask`, a `classifier` that is
            no Keras layer, or images that are not floating point.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> mask = kmd.RandomGridMask(cell_size=2, sampling="partition")
    >>> defended = kmd.VotingEnsemble(classifier, mask, votes=4, pooling="geometric")
    >>> defended.compile(loss=keras.losses.SparseCategoricalCrossentropy(True))
    >>> defended.predict(np.zeros((5, 8, 8, 1), "float32"), verbose=0).shape
    (5, 3)

    Reference:
        Xu, Zhang, Zhao, Fang: A Mask-Based Adversarial Defense Scheme (MAD),
        Algorithms 15 (2022) 461, sections 3.1 and 3.3.
    """

    _nested = ("classifier", "mask", "train_mask")

    def __init__(
        self,
        classifier: Any,
        mask: RandomGridMask,
        votes: int = 5,
        pooling: str = "majority",
        train_mask: RandomGridMask | None = None,
        from_logits: bool | None = None,
        votes_per_pass: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            classifier, votes, pooling, from_logits, votes_per_pass, **kwargs
        )
        self.mask = _check_mask("mask", mask)
        if not mask.is_active(training=False):
            raise ValueError(
                "`mask` must be active in inference, or all views are alike. "
                f"Received: mask.active={mask.active!r}"
            )
        self.train_mask = (
            None if train_mask is None else _check_mask("train_mask", train_mask)
        )

    def build(self, input_shape: tuple) -> None:
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        check_images(images)
        if training:
            masked = (self.train_mask or self.mask)(images, training=True)
            return self.classifier(masked, training=True)
        if images.shape[0] == 0:
            # Keras' strided convolutions and reductions fail on an empty batch.
            return ops.zeros(self.compute_output_shape(tuple(images.shape)))
        return self.pool_logits(self.logits_of_views(images))

    def view_outputs(self, images: Any, keep: Any = None) -> Any:
        """Computes the classifier's outputs for each view.

        Args:
            images: Floating point images, `(batch, height, width, channels)`.
            keep: Visible cells, `(views, batch, rows, columns)`, as `mask.sample`
                returns them; `votes` fresh draws by default.

        Returns:
            `(views, batch, classes)`, in inference mode.
        """
        return self._of_views(images, keep, self._outputs)

    def logits_of_views(
        self, images: Any, keep: Any = None, exact: bool = False
    ) -> Any:
        """Computes logits for each view, also if the classifier returns probabilities.

        Args:
            images: Floating point images, `(batch, height, width, channels)`.
            keep: Visible cells, as for `view_outputs`.
            exact: Whether to raise if only probabilities in half precision are
                available.

        Returns:
            `(views, batch, classes)`, in inference mode and at least float32. For a
            classifier that returns probabilities, their logarithms: exact where its
            softmax can be bypassed, else limited by float32.

        Raises:
            ValueError: With `exact`, for probabilities in half precision.
        """

        return self._of_views(images, keep, self._logits(exact))

    def _of_views(self, images: Any, keep: Any, function: Callable[[Any], Any]) -> Any:
        if keep is None:
            keep = self.mask.sample(images, views=self.votes)
        return self._in_passes(
            images, lambda first, last: keep[first:last], keep.shape[0], function
        )

    def pool(self, outputs: Any) -> Any:
        """Pools outputs `(views, batch, classes)` into `(batch, classes)`."""
        return pool(outputs, self.pooling, self.from_logits)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        images = keras.KerasTensor(input_shape, dtype=self.classifier.compute_dtype)
        if not self.classifier.built:
            self.classifier(images)
        # A subclassed model has no known output shape, but can be traced.
        output = self.classifier.compute_output_spec(images)
        return check_scores(self.classifier, output, fewest=2)

    def compute_output_spec(self, images: Any, training: bool | None = None) -> Any:
        check_images(images)
        shape = self.compute_output_shape(tuple(images.shape))
        dtype = keras.backend.result_type(self.classifier.compute_dtype, "float32")
        return keras.KerasTensor(shape, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "mask": serialize(self.mask),
            "train_mask": serialize(self.train_mask),
        }

    def _pass(self, images: Any, keep: Any, function: Callable[[Any], Any]) -> Any:
        """Applies `function` to all views of `keep` in one batch."""
        masked = self.mask.apply(images, keep)
        views, batch, *image = ops.shape(masked)
        flat = ops.reshape(masked, (views * batch, *image))
        outputs = function(flat)
        return ops.reshape(outputs, (views, batch, outputs.shape[-1]))


def _check_mask(name: str, mask: Any) -> RandomGridMask:
    if not isinstance(mask, RandomGridMask):
        raise TypeError(f"`{name}` must be a RandomGridMask. Received: {name}={mask!r}")
    return mask
