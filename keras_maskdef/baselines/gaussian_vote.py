"""A vote over noisy copies of each image."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_maskdef.backend import random_numbers
from keras_maskdef.backend.replicas import ReplicaSeedGenerator
from keras_maskdef.core.arguments import (
    check_images,
    check_positive,
    check_seed,
)
from keras_maskdef.evaluation.defence import Defence
from keras_maskdef.layers.pooled_vote import PooledVote


@keras.saving.register_keras_serializable(package="keras_maskdef")
class GaussianVote(PooledVote):
    """Lets noisy copies of an image vote on its class: randomised smoothing.

    In training the classifier sees one noisy copy of each image. In inference `votes`
    copies of each image, each with its own noise, go through the classifier, and their
    outputs are pooled.

    It predicts by the paper's rule, without the test that abstains where the vote is
    close, and without the certificate. Give `evaluate` its `defence()`: a model of this
    class passed as it is would be its own base model.

    Args:
        classifier: Keras model or layer from images to `(batch, classes)`.
        stddev: Number above 0, the standard deviation of the noise, on the images' own
            scale: 0.25 in [0, 1] is 63.75 in [0, 255]. Values are not clipped
            afterwards, as in the paper.
        votes: Integer, the number of copies of each image, at most 10,000.
        pooling: How copies are pooled, as in `VotingEnsemble`: `"majority"` (the
            paper's), `"mean"` or `"geometric"`.
        from_logits: Boolean, whether the classifier returns logits rather than
            probabilities. `None` reads it off the classifier's last layer. The
            output is of the same kind.
        votes_per_pass: Integer, copies that go through the classifier at once, to bound
            the memory; up to 128 of them by default.
        seed: Integer that makes the noise repeatable. With `None` it comes from a
            secret key of 64 bits, a new one after a saved model is loaded.
        **kwargs: `name`, `dtype` and so on, as for any Keras model.

    Call arguments:
        images: Floating point images of any value range, `(batch, height, width,
            channels)`.
        training: Boolean.

    Returns:
        `(batch, classes)`: in inference pooled shares or their logarithms, in training
        the classifier's output.

    Gradient:
        Through all copies and the classifier. Counting votes has no gradient, so
        `"majority"` uses that of `"mean"`.

    Raises:
        ValueError: For a number out of its range, an unknown pooling, or a
            `from_logits` that is not given and cannot be read off.
        TypeError: For a `classifier` that is no Keras layer, or images that are not
            floating point.

    Example:

    >>> import numpy as np
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> smoothed = GaussianVote(classifier, stddev=0.25, votes=5)
    >>> smoothed.predict(np.zeros((4, 8, 8, 1), "float32"), verbose=0).shape
    (4, 3)

    Reference:
        Cohen, Rosenfeld, Kolter: Certified Adversarial Robustness via Randomized
        Smoothing, ICML 2019, sections on prediction and on training.
    """

    def __init__(
        self,
        classifier: Any,
        stddev: float,
        votes: int = 20,
        pooling: str = "majority",
        from_logits: bool | None = None,
        votes_per_pass: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            classifier, votes, pooling, from_logits, votes_per_pass, **kwargs
        )
        self.stddev = check_positive("stddev", stddev)
        self.seed = check_seed("seed", seed)
        self.seed_generator = ReplicaSeedGenerator(self.seed)
        self.built = classifier.built

    def build(self, input_shape: tuple) -> None:
        if not self.classifier.built:
            self.classifier(keras.KerasTensor(input_shape))
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        check_images(images)
        if training:
            return self.classifier(self._noisy(images), training=True)
        return self.pool_logits(self.logits_of_views(images))

    def view_outputs(self, images: Any) -> Any:
        """The classifier's outputs for each of `votes` fresh copies.

        Args:
            images: Floating point images, `(batch, height, width, channels)`.

        Returns:
            `(votes, batch, classes)`, in inference mode.
        """
        return self._of_views(images, self._outputs)

    def logits_of_views(self, images: Any, exact: bool = False) -> Any:
        """The classifier's logits for each copy, as in `VotingEnsemble`."""
        return self._of_views(images, self._logits(exact))

    def _of_views(self, images: Any, function: Callable[[Any], Any]) -> Any:
        return self._in_passes(
            images, lambda first, last: last - first, self.votes, function
        )

    def defence(self) -> Defence:
        """Returns the defence for `evaluate`.

        The base model is the classifier without noise. The white box is one noisy copy
        with its own probabilities, which have a gradient, unlike votes. So the adaptive
        rows average over `eot_samples` fresh copies, whatever `votes` is.

        Returns:
            A `Defence` that always counts as random and so predicts `repeats` times.
        """
        copy = GaussianVote(
            self.classifier, self.stddev, 1, "mean", self.from_logits, name="noisy"
        )
        return _NoisyDefence(self, self.classifier, (copy,))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(self.classifier.compute_output_shape(input_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}

    def _pass(self, images: Any, copies: int, function: Callable[[Any], Any]) -> Any:
        """Applies a function to one batch of noisy copies."""
        repeated = self._noisy(ops.tile(images, (copies, 1, 1, 1)))
        outputs = function(repeated)
        return ops.reshape(outputs, (copies, ops.shape(images)[0], outputs.shape[-1]))

    def _noisy(self, images: Any) -> Any:
        dtype = keras.backend.standardize_dtype(images.dtype)
        noise = random_numbers.normal(
            ops.shape(images), self.stddev, dtype, self.seed_generator
        )
        return images + noise


def gaussian_vote_defence(
    classifier: keras.Model, stddev: float, votes: int = 20, **options: Any
) -> Defence:
    """Randomised smoothing of a classifier, for `evaluate`.

    Args:
        classifier: Keras model from images of any value range, `(batch, height, width,
            channels)`, to `(batch, classes)`, trained under noise.
        stddev: Number above 0, the standard deviation of the noise, on the images' own
            scale.
        votes: Integer, the number of noisy copies of each image.
        **options: Other arguments of `GaussianVote`.

    Returns:
        `GaussianVote(classifier, stddev, votes, **options).defence()`.

    Gradient:
        The gradient of one noisy copy's probabilities; of several in adaptive rows.

    Raises:
        ValueError: For an argument out of its range.
        TypeError: For a `classifier` that is no Keras layer.

    Example:

    >>> import numpy as np
    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> smoothed = gaussian_vote_defence(classifier, stddev=0.25)
    >>> smoothed.outputs(np.zeros((5, 8, 8, 1), "float32")).shape
    (5, 3)

    Reference:
        Cohen, Rosenfeld, Kolter: Certified Adversarial Robustness via Randomized
        Smoothing, ICML 2019; for the attack, Salman et al.: Provably Robust Deep
        Learning via Adversarially Trained Smoothed Classifiers, NeurIPS 2019.
    """
    return GaussianVote(classifier, stddev, votes, **options).defence()


class _NoisyDefence(Defence):
    """Counts as random even if two votes on a few images agree."""

    @property
    def is_random(self) -> bool:
        return True
