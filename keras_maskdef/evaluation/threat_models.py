"""What attackers of each knowledge would differentiate.

Each function takes a defence and gives the models that such an attacker can attack;
more than one where there is more than one way through, and then each image counts by
the one that harms it most.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_maskdef.attacks.expectation import expectation
from keras_maskdef.evaluation.defence import Defence

SAMPLES = (1, 5, 20, 50)


def classifier(defence: Any) -> tuple[Any, ...]:
    """The bare classifier: the attacker knows nothing of the defence.

    The setting of the MAD paper (section 3.3).

    Args:
        defence: Keras model or `Defence`.

    Returns:
        The one model to attack.
    """
    return (_defence(defence).classifier,)


def gray_box(defence: Any) -> tuple[Any, ...]:
    """The classifier with its masker; the filters and random masks are unknown.

    The gray box of the SFM-Defense paper (section 6.1).

    Args:
        defence: Keras model or `Defence`.

    Returns:
        The one model to attack.
    """
    return (_defence(defence).gray_box,)


def white_box(defence: Any) -> tuple[Any, ...]:
    """All of it, with straight-through gradients where there are none.

    A median filter is attacked through its exact gradient as well. Random masks are
    drawn once in each step, as the defence draws them.

    Args:
        defence: Keras model or `Defence`.

    Returns:
        The models to attack.
    """
    return _defence(defence).white_box


def adaptive(defence: Any, samples: int) -> tuple[Any, ...]:
    """The white box, with an expectation over fresh masks in each step.

    Args:
        defence: Keras model or `Defence`.
        samples: Integer, masks in each step.

    Returns:
        The models to attack. A white box that is a function, not a Keras model, is
        attacked as it is.
    """
    return tuple(
        expectation(model, samples) if isinstance(model, keras.Model) else model
        for model in white_box(defence)
    )


def surrogate(defence: Any, model: Any) -> tuple[Any, ...]:
    """An independently trained model: the black box of the SFM-Defense paper.

    Args:
        defence: Keras model or `Defence`, of which the attacker knows nothing.
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
