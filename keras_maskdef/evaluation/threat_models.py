"""Threat models: the models that an attacker of each knowledge differentiates.

Each function takes a defence and returns the models that the attacker attacks. If there
are several, each image counts by the model that harms it most.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_maskdef.attacks.expectation import expectation
from keras_maskdef.evaluation.defence import Defence

SAMPLES = (1, 5, 20, 50)


def classifier(defence: Any) -> tuple[Any, ...]:
    """The base model: the attacker knows nothing of the defence.

    The setting of the MAD paper (section 3.3).

    Args:
        defence: Keras model or `Defence`.

    Returns:
        The one model to attack.
    """
    return (_defence(defence).classifier,)


def gray_box(defence: Any) -> tuple[Any, ...]:
    """The base model with its masker; filters and random masks are unknown.

    The gray box of the SFM-Defense paper (section 6.1).

    Args:
        defence: Keras model or `Defence`.

    Returns:
        The one model to attack.
    """
    return (_defence(defence).gray_box,)


def white_box(defence: Any) -> tuple[Any, ...]:
    """The whole defence; parts without a gradient get a straight-through one.

    A median filter is attacked through its exact gradient as well. Random masks are
    drawn once in each step, as the defence draws them.

    Args:
        defence: Keras model or `Defence`.

    Returns:
        The models to attack.
    """
    return _defence(defence).white_box


def adaptive(defence: Any, samples: int) -> tuple[Any, ...]:
    """The white box; each step averages over fresh masks (EOT).

    Args:
        defence: Keras model or `Defence`.
        samples: Integer, EOT samples: masks that one step averages over.

    Returns:
        The models to attack. A white box that is not a Keras model is attacked
        unchanged.
    """
    return tuple(
        expectation(model, samples) if isinstance(model, keras.Model) else model
        for model in white_box(defence)
    )


def surrogate(defence: Any, model: Any) -> tuple[Any, ...]:
    """An independently trained model: the black box of the SFM-Defense paper.

    Args:
        defence: Keras model or `Defence`; the attacker knows nothing of it.
        model: Keras model that the attacker has.

    Returns:
        The one model to attack.
    """
    return (model,)


THREAT_MODELS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "surrogate": surrogate,
    "classifier": classifier,
    "gray_box": gray_box,
    "white_box": white_box,
    "adaptive": adaptive,
}


def _defence(value: Any) -> Defence:
    return Defence.of_model(value) if isinstance(value, keras.Model) else value
