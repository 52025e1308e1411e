"""What came of one attack on one batch: the piece of work of a run."""

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
# The array of an outcome that says for which images no gradient is left.
WITHOUT_GRADIENT = "without_gradient"


class Attacker:
    """Crafts images, with what is compiled for it kept from batch to batch.

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
            attack.compile(images)  # draws masks at its first use
            reseed([model], seed)
            self._crafted = {  # those of the batches before are not needed again
                k: made for k, made in self._crafted.items() if k[2] == seed
            }
            self._crafted[key] = attack(images, labels, scenario.epsilons, seed)
        return self._crafted[key]

    def without_gradient(
        self, scenario: Scenario, model: Any, images: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        """Whether the gradient of the loss by an image is zero everywhere, `(n,)`."""
        target = self._attack(scenario, model).target
        unit = to_unit(images, target.value_range)
        gradient = keras.ops.convert_to_numpy(target.loss_gradient(unit, labels)[1])
        return ~gradient.any(axis=(1, 2, 3))

    def _attack(self, scenario: Scenario, model: Any) -> Any:
        key = (id(model), scenario.key)
        if key not in self._attacks:
            if id(model) not in self._targets:  # the model is kept, so is its id
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
    """Classes of images by several independent judgements, `(times, n)`."""
    reseed([defence.predict], seed)
    return np.stack([defence.labels(images) for _ in range(times)]).astype("int32")


def judge_votes(defence: Defence, images: np.ndarray, seed: int) -> np.ndarray | None:
    """Classes after one view, two, and so on up to twice as many as vote.

    `(views, n)`, or nothing where no views vote.
    """
    if defence.vote is None:
        return None
    front, vote = defence.vote
    reseed([defence.predict], seed)
    seen = images if front is None else front.predict_on_batch(images)
    keep = vote.mask.sample(seen, views=2 * vote.votes)
    logits = keras.ops.convert_to_numpy(vote.logits_of_views(seen, keep))
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
    """What a defence makes of adversarial images of one batch.

    Args:
        defence: Who judges.
        crafted: One array `(epsilons, n, ...)` for each way to attack the defence.
        images: What the adversarial images were made of, `(n, ...)`.
        labels: Their classes, `(n,)`.
        scenario: The attack.
        times: Independent judgements of each image.
        seed: Integer for the judgements.

    Returns:
        `predictions` `(epsilons, times, n)`, `sizes` `(epsilons, n)` of the
        perturbations in the attack's norm, `votes` `(epsilons, views, n)` where views
        vote, and `examples` `(epsilons, 8, ...)`, fewer of very large images, each
        image by the way that harmed it most.
    """
    per_size = []
    for number in range(len(scenario.epsilons)):
        ways = [made[number] for made in crafted]
        judged = [judge(defence, way, times, seed) for way in ways]
        right = np.array([(each == labels).mean(axis=0) for each in judged])
        worst = right.argmin(axis=0)
        chosen = _choose(np.stack(ways), worst)
        arrays = {
            "predictions": _choose(np.stack(judged).swapaxes(1, 2), worst).T,
            "sizes": sizes(chosen, images, scenario.norm),
            "examples": chosen[: kept_examples(chosen, len(scenario.epsilons))],
        }
        votes = judge_votes(defence, chosen, seed)
        if votes is not None:
            arrays["votes"] = votes
        per_size.append(arrays)
    return {name: np.stack([a[name] for a in per_size]) for name in per_size[0]}


def kept_examples(images: np.ndarray, sizes: int) -> int:
    """How many examples of each size a file has room for: of small images all.

    Args:
        images: Those of a batch.
        sizes: Integer, numbers of epsilons.
    """
    room = MOST_ARRAYS // 2 // (sizes * images[0].nbytes)
    return max(1, min(EXAMPLES, len(images), room))


def sizes(changed: np.ndarray, images: np.ndarray, norm: str | None) -> np.ndarray:
    """The norm of each image's perturbation, float32 `(n,)`."""
    change = (changed.astype("float64") - images).reshape(len(images), -1)
    order = ORDERS[norm or "linf"]
    return np.linalg.norm(change, order, axis=1).astype("float32")


def _choose(ways: np.ndarray, which: np.ndarray) -> np.ndarray:
    """For each image `ways[which[image], image]`."""
    return ways[which, np.arange(len(which))]
