"""Measures defences under attacks that do not and that do know them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np

from keras_maskdef._progress import Start, silent
from keras_maskdef.attacks import craft, expectation_over_masks
from keras_maskdef.evaluation.report import Report, Row, run_settings
from keras_maskdef.evaluation.score import Score
from keras_maskdef.layers._structure import (
    bare_classifier,
    is_random,
    through_exact_medians,
)

EOT_SAMPLES = 16
JUDGEMENTS = 10
BATCH = 500


class AttackSetting(NamedTuple):
    """An attack by name, its norm, and its size on the scale of the images."""

    name: str
    norm: str
    epsilon: float


class Adversarial(NamedTuple):
    """What one attack made of the images, against one model."""

    setting: AttackSetting
    attacked: keras.Model
    images: np.ndarray


def evaluate(
    defences: Mapping[str, keras.Model],
    images: np.ndarray,
    labels: np.ndarray,
    attacks: Sequence[AttackSetting],
    adaptive: AttackSetting,
    seed: int = 0,
    start: Start = silent,
) -> tuple[Report, list[Adversarial]]:
    """Measures several defences on the same images.

    Each attack is crafted on the bare classifier inside a defence, which is the
    setting of the MAD paper, and judged on the defence. The last row is the
    adaptive attack on the defence itself, with logits averaged over 16 fresh
    masks in each step, and once more through the exact gradients of median filters.
    A randomised defence judges each image 10 times.

    Args:
        defences: Models by the name of their column. What of votes, masks, maskers
            and filters is found in a functional model is taken off for the bare one.
        images: Floats in [0, 1], `(n, height, width, channels)`.
        labels: Integers `(n,)`.
        attacks: Attacks on the bare classifiers.
        adaptive: The attack on each defence itself.
        seed: Integer for the random starts of the attacks.
        start: Starts a progress bar, see `keras_maskdef._progress`.

    Returns:
        The report, and the adversarial images of `attacks`.
    """
    rows = [
        Row("clean", None, None, "none", _judge_all(defences, images, labels, start))
    ]
    targets = {name: bare_classifier(defence) for name, defence in defences.items()}
    crafted = []
    for setting in attacks:
        scores = {}
        made: dict[int, np.ndarray] = {}
        for name, defence in defences.items():
            target = targets[name]
            if id(target) not in made:
                title = f"{_title(setting)}, {name}"
                made[id(target)] = _craft(
                    setting, target, images, labels, seed, start, title
                )
                crafted.append(Adversarial(setting, target, made[id(target)]))
            scores[name] = _judge(defence, made[id(target)], labels)
        rows.append(Row(*setting, "classifier", scores))
    rows.append(_adaptive_row(defences, images, labels, adaptive, seed, start))
    own = {"eot_samples": EOT_SAMPLES, "judgements": JUDGEMENTS}
    settings = {**run_settings(seed), **own}
    return Report(rows, _notes(rows[-1], len(images)), settings), crafted


def _adaptive_row(
    defences: Mapping[str, keras.Model],
    images: np.ndarray,
    labels: np.ndarray,
    setting: AttackSetting,
    seed: int,
    start: Start,
) -> Row:
    scores = {}
    for name, defence in defences.items():
        target = expectation_over_masks(defence, EOT_SAMPLES)
        exact = through_exact_medians(target)
        title = f"adaptive {_title(setting)}, {name}"
        right = []
        for each in (target, exact):
            if each is not None:
                made = _craft(setting, each, images, labels, seed, start, title)
                right.append(_right(defence, made, labels))
        scores[name] = Score(float(np.min(right, axis=0).mean()), len(images))
    name = f"adaptive {setting.name}"
    return Row(name, setting.norm, setting.epsilon, "adaptive", scores)


def _craft(
    setting: AttackSetting,
    target: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    start: Start,
    title: str,
) -> np.ndarray:
    advance = start(title, len(images))
    return craft(
        setting.name,
        target,
        images,
        labels,
        setting.epsilon,
        norm=setting.norm,
        seed=seed,
        on_batch=advance,
    )


def _judge_all(
    defences: Mapping[str, keras.Model],
    images: np.ndarray,
    labels: np.ndarray,
    start: Start,
) -> dict[str, Score]:
    advance = start("clean images", len(defences))
    scores = {}
    for name, defence in defences.items():
        scores[name] = _judge(defence, images, labels)
        advance(1)
    return scores


def _judge(defence: keras.Model, images: np.ndarray, labels: np.ndarray) -> Score:
    return Score(float(_right(defence, images, labels).mean()), len(images))


def _right(defence: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The share of judgements that are right, by image: one could be a lucky draw."""
    judgements = JUDGEMENTS if is_random(defence) else 1
    right = [
        defence.predict(images, batch_size=BATCH, verbose=0).argmax(-1) == labels
        for _ in range(judgements)
    ]
    return np.mean(right, axis=0)


def _title(setting: AttackSetting) -> str:
    return f"{setting.name} {setting.norm} {setting.epsilon:g}"


def _notes(adaptive: Row, images: int) -> list[str]:
    return [
        f"{images} test images, all of them, not only those first classified right.",
        "Attacks are crafted with foolbox on the bare classifier of each column, as",
        "in the MAD paper: that attacker does not know of the masks.",
        f"The {adaptive.attack} row knows the defence: each of its steps averages",
        f"over {EOT_SAMPLES} fresh masks, and of a median filter's two gradients the",
        "one that harms an image more counts. It is the figure to quote.",
        f"Votes are random: each image is judged {JUDGEMENTS} times. Intervals are",
        "over images (Wilson), not over trained models.",
    ]
