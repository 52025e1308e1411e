"""What a model is made of, as far as defences are concerned."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_maskdef.layers.random_grid_mask import RandomGridMask
from keras_maskdef.layers.voting_ensemble import VotingEnsemble


def as_filters(name: str, value: Any) -> tuple[keras.layers.Layer, ...]:
    """One layer, a sequence of layers, or nothing, as a tuple."""
    if value is None:
        return ()
    layers = value if isinstance(value, Sequence) else [value]
    if not all(isinstance(layer, keras.layers.Layer) for layer in layers):
        raise TypeError(
            f"`{name}` must be a Keras layer or a sequence of layers. "
            f"Received: {name}={value!r}"
        )
    return tuple(layers)


def is_random(model: Any) -> bool:
    """Whether a mask is anywhere inside."""
    if isinstance(model, RandomGridMask):
        return True
    return any(is_random(layer) for layer in getattr(model, "layers", ()))


def split_vote(model: Any) -> tuple[keras.Model | None, VotingEnsemble] | None:
    """What comes before the vote that a model ends in, and the vote.

    Nothing if the model does not end in a vote.
    """
    if isinstance(model, VotingEnsemble):
        return None, model
    last = model.layers[-1] if getattr(model, "layers", None) else None
    if not isinstance(last, VotingEnsemble):
        return None
    front = keras.Model(_single(model.inputs), last.input)
    return (front if len(front.layers) > 1 else None), last


def without_vote(model: Any) -> Any:
    """The model with the bare classifier in the place of a vote at its end."""
    parts = split_vote(model)
    if parts is None:
        return model
    front, vote = parts
    return vote.classifier if front is None else behind(front, vote.classifier)


def behind(front: keras.Model, model: Any) -> keras.Model:
    """A model behind another."""
    return keras.Model(_single(front.inputs), model(front.outputs[0]))


def _single(inputs: list) -> Any:
    """Keras takes `[x]` and `x` for different signatures, and warns."""
    return inputs[0] if len(inputs) == 1 else inputs
