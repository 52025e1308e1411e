"""Expectation over masks (EOT), for adaptive attacks."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_maskdef.attacks._model_logits import model_logits
from keras_maskdef.core.logits import Function, logits_of
from keras_maskdef.core.output_kind import infer_from_logits
from keras_maskdef.core.view_passes import check_views
from keras_maskdef.inspection.structure import is_random, split_vote
from keras_maskdef.layers.pooling import geometric


def expectation_over_masks(defence: keras.Model, samples: int = 16) -> keras.Model:
    """Returns the model that an adaptive attack differentiates.

    It is the defence with `samples` fresh masks in each call. Gradient attacks average
    their loss over these EOT samples, so each step follows the expected gradient, not
    the gradient of one draw. Other attacks see logits averaged over them, as in
    foolbox's wrapper for expectation over transformation.

    Args:
        defence: Any Keras classifier, with masks anywhere. One without a
            `RandomGridMask` that is active in inference is returned as it is.
        samples: Integer, EOT samples (masks) per call, at most 10,000.

    Returns:
        A model that shares the weights of `defence` and returns logits. Its method
        `view_logits(images)` returns the logits under each mask, `(samples, batch,
        classes)`. It replays no masks: those of a vote come from fresh entropy or the
        seed of `keras.utils.set_random_seed`.

    Example:

    >>> import keras_maskdef as kmd
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> defended = kmd.VotingEnsemble(classifier, kmd.RandomGridMask(2))
    >>> expected = expectation_over_masks(defended, samples=20)
    >>> expected.view_logits(keras.ops.zeros((5, 8, 8, 1))).shape
    TensorShape([20, 5, 3])

    Reference:
        Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of
        Security, ICML 2018, section 4.2.
    """
    check_views("samples", samples)
    return expectation(defence, samples) if is_random(defence) else defence


def expectation(model: keras.Model, samples: int) -> keras.Model:
    """As `expectation_over_masks`, over anything random, also of other libraries."""
    parts = split_vote(model)
    if parts is None:
        return _Expectation(model, samples)
    return _ExpectationOverViews(*parts, samples)


class _Expectation(keras.Model):
    """A model's logits over several draws, in one batch."""

    from_logits = True

    def __init__(self, model: Any, samples: int) -> None:
        super().__init__(name="expectation")
        self.model, self.samples = model, samples
        self._logits: Function | None = None
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        return geometric(self.view_logits(images), as_logits=True)

    def view_logits(self, images: Any, training: bool | None = None) -> Any:
        """Logits, or log-probabilities, of each draw: `(samples, batch, classes)`."""
        if self._logits is None:
            self._logits = self._find_logits(images)
        repeated = ops.tile(images, (self.samples, 1, 1, 1))
        logits = self._logits(repeated)
        return ops.reshape(logits, (self.samples, -1, logits.shape[-1]))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return self.model.compute_output_shape(input_shape)

    def _find_logits(self, images: Any) -> Function:
        """Reads values if the last layer does not tell; the first images are real."""
        try:
            from_logits = infer_from_logits(self.model)
        except ValueError:
            return model_logits(self.model, images)
        return partial(logits_of, self.model, from_logits, exact=True)


class _ExpectationOverViews(_Expectation):
    """For a vote: one view is one draw, so whole votes are not drawn."""

    def __init__(self, front: keras.Model | None, vote: Any, samples: int) -> None:
        super().__init__(vote, samples)
        self.front = front
        config = {**vote.mask.get_config(), "seed": None}
        self.mask = type(vote.mask).from_config(config)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if self.front is not None:
            input_shape = self.front.compute_output_shape(input_shape)
        return self.model.compute_output_shape(input_shape)

    def view_logits(self, images: Any, training: bool | None = None) -> Any:
        if self.front is not None:
            images = self.front(images, training=False)
        keep = self.mask.sample(images, views=self.samples)
        return self.model.logits_of_views(images, keep, exact=True)
