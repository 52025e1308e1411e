"""Expectation over masks, for attacks that know the defence."""

import keras

from keras_maskdef.layers import VotingEnsemble


def expectation_over_masks(defence: keras.Model, samples: int = 16) -> keras.Model:
    """The model that an attacker who knows the masks would differentiate.

    It is the defence with `samples` fresh masks in each call and logits averaged
    over them, so that each step of a gradient attack follows the expected
    gradient, not that of one draw. Averaging logits is what foolbox's wrapper for
    expectation over transformation does, too.

    Args:
        defence: Any Keras classifier. One without a vote is deterministic and
            returned as it is.
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
    if not isinstance(defence, VotingEnsemble):
        return defence
    mask = type(defence.mask).from_config({**defence.mask.get_config(), "seed": None})
    return VotingEnsemble(
        defence.classifier,
        mask,
        votes=samples,
        pooling="geometric",
        from_logits=defence.from_logits,
    )
