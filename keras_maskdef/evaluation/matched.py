"""Finds the epsilon at which an attack is as strong as in a paper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_maskdef.attacks import Attack, prepare
from keras_maskdef.attacks.attack import into_ball
from keras_maskdef.attacks.inputs import check_attack_inputs
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.value_range import UNIT, from_unit, span, to_unit
from keras_maskdef.datasets.batches import labelled_arrays
from keras_maskdef.evaluation.scenario import AttackSetting

_HALVINGS = 9


@dataclass(frozen=True)
class Match:
    """A matched attack.

    Args:
        setting: The attack with the matched epsilon.
        accuracy: Robust accuracy under it, in [0, 1], over the images that the model
            classifies correctly without an attack.
    """

    setting: AttackSetting
    accuracy: float


def match_strength(
    model: Any,
    data: Any,
    setting: AttackSetting,
    accuracy: float,
    seed: int = 0,
    value_range: Sequence[float] = UNIT,
) -> Match:
    """Finds the epsilon at which an attacked model has a given accuracy.

    A paper's epsilon means little on another model: a model that is harder or easier to
    attack makes every defence look better or worse. At matched strength the attacked
    base model is as accurate as the paper's, and defences can be compared.

    Args:
        model: Keras model or `attacks.Target`, the base model.
        data: Images `(n, height, width, channels)` in `value_range` and labels `(n,)`,
            or a dataset of batches of them. Misclassified images are left out, as in
            the papers.
        setting: The attack. The search starts from its epsilon, which is on the scale
            of the images.
        accuracy: Float in [0, 1], the wanted accuracy of the attacked model.
        seed: Integer for the attack's random starts.
        value_range: The lowest and the highest value of the images that the model
            takes, such as `(0, 255)`. A `Target` uses its own.

    Returns:
        The attack with the matched epsilon, to three digits, and the accuracy at it. If
        no epsilon gives the accuracy, the nearest one.

    Raises:
        TypeError: For `data` that are no arrays.
        ValueError: For an accuracy outside [0, 1], a model that is right on no image,
            images outside `value_range`, or labels that the model has no class for.

    Example:

    >>> import keras
    >>> x = np.linspace(0.4, 0.6, 64, dtype="float32").reshape(64, 1, 1, 1)
    >>> brighter = keras.Sequential(
    ...     [keras.Input((1, 1, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    ... )
    >>> brighter.set_weights([np.array([[0.0, 10.0]]), np.array([5.0, 0.0])])
    >>> y = (x.ravel() > 0.5).astype(int)
    >>> half = match_strength(
    ...     brighter, (x, y), AttackSetting("fgsm", "linf", 0.1), accuracy=0.5
    ... )
    >>> abs(half.setting.epsilon - 0.05) < 0.002
    True
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"`accuracy` must be in [0, 1]. Received: accuracy={accuracy}")
    attack = prepare(
        setting.name,
        model,
        setting.norm,
        setting.library,
        value_range,
        **dict(setting.options),
    )
    image_range = attack.target.value_range
    images, labels, *_ = labelled_arrays("data", data)
    images, labels = check_attack_inputs(images, labels, [setting.epsilon], image_range)
    right = _right(attack, images, labels)
    check_labels(labels, len(images), attack.target.classes)
    if not right.any():
        raise ValueError(
            "`model` must be right on some of the images of `data`. Received: a model "
            f"that is wrong on all {len(images)}"
        )
    images, labels = images[right], labels[right]
    limit = _limit(setting.norm, images.shape[1:]) * span(image_range)

    minimal = attack.info.kind == "minimal"
    # A minimum-norm attack runs once for all epsilons.
    smallest = attack(images, labels, [limit], seed)[0] if minimal else None
    units = to_unit(images, image_range)

    def left_at(epsilon: float) -> float:
        if smallest is None:
            adversarial = attack(images, labels, [epsilon], seed)[0]
        else:
            size = epsilon / span(image_range)
            cut = into_ball(to_unit(smallest, image_range), units, size, setting.norm)
            adversarial = from_unit(cut, image_range)
        return float(_right(attack, adversarial, labels).mean())

    first = min(setting.epsilon, limit)
    matched = _three_digits(_search(left_at, first, limit, accuracy))
    return Match(replace(setting, epsilon=matched), left_at(matched))


def _search(
    left: Callable[[float], float], first: float, limit: float, accuracy: float
) -> float:
    """Doubles or halves until the accuracy is passed, then halves the interval."""
    low = high = first
    if left(first) > accuracy:
        while high < limit and left(high) > accuracy:
            low, high = high, min(2 * high, limit)
    else:
        while low > first / 1000 and left(low) <= accuracy:
            low, high = low / 2, low
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        if left(middle) > accuracy:
            low = middle
        else:
            high = middle
    return high


def _right(attack: Attack, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    units = to_unit(images, attack.target.value_range)
    logits = keras.ops.convert_to_numpy(attack.target.logits(units))
    return logits.argmax(-1) == labels


def _limit(norm: str, shape: tuple[int, ...]) -> float:
    """The epsilon at which any image in [0, 1] can become any other."""
    pixels = float(np.prod(shape))
    return {"l1": pixels, "l2": pixels**0.5, "linf": 1.0}[norm]


def _three_digits(size: float) -> float:
    return float(f"{size:.3g}")
