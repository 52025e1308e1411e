"""The outcome of one attack on one batch, the piece of work of a run."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_maskdef.attacks import Target, prepare
from keras_maskdef.attacks.attack import ORDERS
from keras_maskdef.backend.seeding import reseed
from keras_maskdef.core.checked_files import MOST_ARRAYS, Arrays
from keras_maskdef.core.value_range import UNIT, to_unit
from keras_maskdef.evaluation.defence import Defence
from keras_maskdef.evaluation.scenario import Scenario

EXAMPLES = 8
# The array of an outcome that marks images whose gradient is zero.
WITHOUT_GRADIENT = "without_gradient"


class Attacker:
    """Crafts adversarial images; compiled attacks are kept from batch to batch.

    Args:
        value_range: The lowest and the highest value of the images.
    """

    def __init__(self, value_range: Sequence[float] = UNIT) -> None:
        self._value_range = value_range
        self._targets: dict[int, tuple[Any, Target]] = {}
        self._attacks: dict[tuple[int, str], Any] = {}
        self._crafted: dict[tuple[int, str, int], np.ndarray] = {}

    def __call__(
        self,
        scenario: Scenario,
        model: Any,
        images: np.ndarray,
        labels: np.ndarray,
        seed: int,
    ) -> np.ndarray:
        """Adversarial images, `(epsilons, n, height, width, channels)`."""
        key = (id(model), scenario.key, seed)
        if key not in self._crafted:
            attack = self._attack(scenario, model)
            attack.compile(images)  # its first use draws masks
            reseed([model], seed)
            self._crafted = {  # earlier batches are not needed again
                k: crafted for k, crafted in self._crafted.items() if k[2] == seed
            }
            self._crafted[key] = attack(images, labels, scenario.epsilons, seed)
        return self._crafted[key]

    def without_gradient(
        self, scenario: Scenario, model: Any, images: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        """Whether the loss gradient by an image is zero everywhere, booleans `(n,)`."""
        target = self._attack(scenario, model).target
        unit = to_unit(images, target.value_range)
        gradient = keras.ops.convert_to_numpy(target.loss_gradient(unit, labels)[1])
        return ~gradient.any(axis=(1, 2, 3))

    def _attack(self, scenario: Scenario, model: Any) -> Any:
        key = (id(model), scenario.key)
        if key not in self._attacks:
            if id(model) not in self._targets:  # keeping the model keeps its id
                self._targets[id(model)] = (model, Target(model, self._value_range))
            self._attacks[key] = prepare(
                scenario.attack,
                self._targets[id(model)][1],
                norm=scenario.norm or "linf",
                library=scenario.library,
                **dict(scenario.options),
            )
        return self._attacks[key]


def judge(defence: Defence, images: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Predicted classes of images in several repeats, int32 `(times, n)`."""
    reseed([defence.predict], seed)
    return np.stack([defence.labels(images) for _ in range(times)]).astype("int32")


def judge_votes(defence: Defence, images: np.ndarray, seed: int) -> np.ndarray | None:
    """Predicted classes after one view, two, and so on up to twice the votes.

    int32 `(views, n)`, or None without a vote.
    """
    if defence.vote is None:
        return None
    front, vote = defence.vote
    reseed([defence.predict], seed)
    inputs = images if front is None else front.predict_on_batch(images)
    keep = vote.mask.sample(inputs, views=2 * vote.votes)
    logits = keras.ops.convert_to_numpy(vote.logits_of_views(inputs, keep))
    pooled = [vote.pool_logits(logits[: n + 1]) for n in range(len(logits))]
    classes = [keras.ops.convert_to_numpy(p).argmax(-1) for p in pooled]
    return np.stack(classes).astype("int32")


def outcome(
    defence: Defence,
    crafted: Sequence[np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    scenario: Scenario,
    times: int,
    seed: int,
) -> Arrays:
    """Predicts the adversarial images of one batch with a defence.

    Args:
        defence: The defence that predicts.
        crafted: One array `(epsilons, n, ...)` for each attacked model of the defence.
        images: The original images, `(n, ...)`.
        labels: Their classes, `(n,)`.
        scenario: The attack.
        times: Repeats: independent predictions of each image.
        seed: Integer for the masks of the predictions.

    Returns:
        `predictions` `(epsilons, times, n)`, `sizes` `(epsilons, n)` of the
        perturbations in the attack's norm, `votes` `(epsilons, views, n)` for a vote,
        and `examples` `(epsilons, 8, ...)`, fewer of very large images. Each image
        counts by the attacked model that harmed it most.
    """
    per_size = []
    for number in range(len(scenario.epsilons)):
        ways = [by_epsilon[number] for by_epsilon in crafted]
        predicted = [judge(defence, way, times, seed) for way in ways]
        right = np.array([(classes == labels).mean(axis=0) for classes in predicted])
        worst = right.argmin(axis=0)
        chosen = _choose(np.stack(ways), worst)
        arrays = {
            "predictions": _choose(np.stack(predicted).swapaxes(1, 2), worst).T,
            "sizes": sizes(chosen, images, scenario.norm),
            "examples": chosen[: kept_examples(chosen, len(scenario.epsilons))],
        }
        votes = judge_votes(defence, chosen, seed)
        if votes is not None:
            arrays["votes"] = votes
        per_size.append(arrays)
    return {name: np.stack([a[name] for a in per_size]) for name in per_size[0]}


def kept_examples(images: np.ndarray, sizes: int) -> int:
    """How many examples of each epsilon fit a file; all 8 of small images.

    Args:
        images: Those of a batch.
        sizes: Integer, number of epsilons.
    """
    room = MOST_ARRAYS // 2 // (sizes * images[0].nbytes)
    return max(1, min(EXAMPLES, len(images), room))


def sizes(changed: np.ndarray, images: np.ndarray, norm: str | None) -> np.ndarray:
    """Norms of the perturbations, float32 `(n,)`."""
    change = (changed.astype("float64") - images).reshape(len(images), -1)
    order = ORDERS[norm or "linf"]
    return np.linalg.norm(change, order, axis=1).astype("float32")


def _choose(ways: np.ndarray, which: np.ndarray) -> np.ndarray:
    """For each image `ways[which[image], image]`."""
    return ways[which, np.arange(len(which))]
