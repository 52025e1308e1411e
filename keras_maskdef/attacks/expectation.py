"""Expectation over masks, for attacks that know the defence."""

from typing import Any

import keras
from keras import ops

from keras_maskdef.layers import VotingEnsemble
from keras_maskdef.layers._arguments import check_positive_int
from keras_maskdef.layers._output_kind import infer_from_logits
from keras_maskdef.layers._pooling import geometric
from keras_maskdef.layers._structure import behind, is_random, split_vote


def expectation_over_masks(defence: keras.Model, samples: int = 16) -> keras.Model:
    """The model that an attacker who knows the masks would differentiate.

    It is the defence with `samples` fresh masks in each call and logits averaged
    over them, so that each step of a gradient attack follows the expected
    gradient, not that of one draw. Averaging logits is what foolbox's wrapper for
    expectation over transformation does, too.

    Args:
        defence: Any Keras classifier, with masks wherever it has them. One without
            a `RandomGridMask` anywhere is returned as it is.
        samples: Integer, masks per call.

    Returns:
        A model that shares the weights of `defence`; it replays nothing, as its
        masks come from fresh entropy or the seed of `keras.utils.set_random_seed`.

    Example:

    >>> import keras_maskdef as kmd
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> defended = kmd.VotingEnsemble(classifier, kmd.RandomGridMask(2))
    >>> expectation_over_masks(defended, samples=20).votes
    20

    Reference:
        Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of
        Security, ICML 2018, section 4.2.
    """
    check_positive_int("samples", samples)
    if not is_random(defence):
        return defence
    parts = split_vote(defence)
    if parts is None:
        return _Expectation(defence, samples)
    front, vote = parts
    # One view is one draw: no need to draw whole votes.
    mask = type(vote.mask).from_config({**vote.mask.get_config(), "seed": None})
    expected = VotingEnsemble(
        vote.classifier,
        mask,
        votes=samples,
        pooling="geometric",
        from_logits=vote.from_logits,
    )
    if front is None:
        return expected
    return behind(front, expected)


class _Expectation(keras.Model):
    """A model's mean logits over several draws, in one batch."""

    def __init__(self, model: keras.Model, samples: int) -> None:
        super().__init__(name="expectation")
        self.model, self.samples = model, samples
        self.from_logits = infer_from_logits(model)

    def call(self, images: Any, training: bool | None = None) -> Any:
        batch = ops.shape(images)[0]
        repeated = ops.tile(images, (self.samples, 1, 1, 1))
        outputs = self.model(repeated, training=False)
        shape = (self.samples, batch, outputs.shape[-1])
        return geometric(ops.reshape(outputs, shape), self.from_logits)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return self.model.compute_output_shape(input_shape)
