"""What SFM-Defense withstands, by how much the attacker knows of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_maskdef import defend
from keras_maskdef.attacks import craft
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.evaluation.report import Report, Row, versions
from keras_maskdef.evaluation.score import Score
from keras_maskdef.layers import MedianFilter, SparseFeatureMasker

EPSILON, STEP, STEPS = 8 / 255, 1 / 255, 30  # section 6.1, (3)
PLAIN, ALONE = "no defence", "filter alone"
SAME, SFM = "filter, SFM's classifier", "SFM-Defense"


@dataclass(frozen=True)
class Column:
    """A defence and the models that attackers of each knowledge differentiate."""

    defence: keras.Model
    classifier: keras.Model
    gray_box: keras.Model
    white_box: tuple[keras.Model, ...]


def columns(
    plain: keras.Model,
    filtered: keras.Model,
    classifier: keras.Model,
    masker: SparseFeatureMasker,
    median: int,
) -> dict[str, Column]:
    """The defences to compare.

    Args:
        plain: The classifier as it was before the alternation.
        filtered: A classifier that went on with filtered images alone.
        classifier: The classifier that the masker was trained with.
        masker: The masker.
        median: Side of the median filter's window.
    """

    def behind_filter(model: keras.Model, mask: Any = None) -> tuple[keras.Model, ...]:
        gradients = ("straight_through", "exact")
        return tuple(
            defend(model, mask, MedianFilter(median, gradient=gradient))
            for gradient in gradients
        )

    alone, same = behind_filter(filtered), behind_filter(classifier)
    both = behind_filter(classifier, masker)
    masked = defend(classifier, masker)
    return {
        PLAIN: Column(plain, plain, plain, (plain,)),
        ALONE: Column(alone[0], filtered, filtered, alone),
        SAME: Column(same[0], classifier, classifier, same),
        SFM: Column(both[0], classifier, masked, both),
    }


def measure(
    defences: dict[str, Column], test: ImageData, seed: int = 0, start: Start = silent
) -> Report:
    """Attacks every defence with PGD by an attacker who knows ever more of it.

    Args:
        defences: As `columns` returns them.
        test: Images to attack, all of them.
        seed: Integer for the random starts and the noise.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.

    Returns:
        The report. Its last row counts an image only where the defence is right on it
        under every attack of the rows above.
    """
    images, labels = test.images, test.labels
    made: dict[int, np.ndarray] = {}

    def attacked(model: keras.Model) -> np.ndarray:
        if id(model) not in made:
            made[id(model)] = craft(
                "pgd",
                model,
                images,
                labels,
                EPSILON,
                seed=seed,
                steps=STEPS,
                step_size=STEP,
                on_batch=start(f"pgd on {model.name}", len(images)),
            )
        return made[id(model)]

    noise = np.random.default_rng(seed).choice([-EPSILON, EPSILON], images.shape)
    noisy = np.clip(images + noise, 0, 1).astype("float32")
    knowledge: dict[str, Callable[[Column], list[np.ndarray]]] = {
        "none": lambda column: [images],
        "noise": lambda column: [noisy],
        "classifier": lambda column: [attacked(column.classifier)],
        "gray_box": lambda column: [attacked(column.gray_box)],
        "white_box": lambda column: [attacked(m) for m in column.white_box],
    }
    right: dict[str, dict[str, np.ndarray]] = {
        threat: {
            name: np.all([_right(column, x, labels) for x in inputs(column)], axis=0)
            for name, column in defences.items()
        }
        for threat, inputs in knowledge.items()
    }
    right["adaptive"] = {
        name: np.all([right[threat][name] for threat in knowledge], axis=0)
        for name in defences
    }
    rows = [_row(threat, by_name) for threat, by_name in right.items()]
    return Report(rows, _notes(len(images)), {**versions(), "seed": seed})


TITLES = {
    "none": "clean",
    "noise": "random signs",
    "classifier": "pgd, knows the classifier",
    "gray_box": "pgd, and the masker",
    "white_box": "pgd, and the filter",
    "adaptive": "the worst of all",
}


def _row(threat: str, right: dict[str, np.ndarray]) -> Row:
    scores = {name: Score(float(r.mean()), len(r)) for name, r in right.items()}
    if threat == "none":
        return Row(TITLES[threat], None, None, threat, scores)
    return Row(TITLES[threat], "linf", round(EPSILON, 4), threat, scores)


def _right(column: Column, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = column.defence.predict(images, batch_size=250, verbose=0)
    return logits.argmax(-1) == labels


def _notes(images: int) -> list[str]:
    return [
        f"{images} test images, all of them, not only those first classified right.",
        f"PGD from a random start, {STEPS} steps of 1/255, by foolbox. Each column is",
        "attacked on its own models. The filter is attacked by its straight-through",
        "and by its exact gradient; an image counts if it withstands both.",
        "The last row counts an image only if it withstands all of the above. It is",
        "the figure to quote. Intervals are over images (Wilson), not over trainings.",
    ]
