"""Attacks by name and norm."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_maskdef.attacks._foolbox import CLASSES, ITERATIVE, FoolboxAttack
from keras_maskdef.attacks._inputs import check_attack_inputs, check_labels
from keras_maskdef.layers._arguments import check_positive, check_positive_int


def available() -> list[tuple[str, str]]:
    """The names and norms of all attacks."""
    return sorted(CLASSES)


def craft(
    name: str,
    model: keras.Model,
    images: Any,
    labels: Any,
    epsilon: float,
    norm: str = "linf",
    batch_size: int = 128,
    seed: int = 0,
    steps: int | None = None,
    step_size: float | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Crafts adversarial images against a model, with foolbox's default settings.

    Args:
        name: Name of the attack: `"fgsm"`, `"bim"` (10 steps of epsilon / 5),
            `"pgd"` (40 steps of epsilon / 30 from a random start) or `"deepfool"`
            (the smallest perturbation found, cut to `epsilon`).
        model: Keras classifier under attack, seen in inference mode; logits and
            probabilities both serve. It is what the attacker knows: the bare
            classifier in the MAD paper, `expectation_over_masks(defended)` for an
            adaptive attack.
        images: Floating point images in [0, 1], `(n, height, width, channels)`.
        labels: Integers `(n,)`, the true classes.
        epsilon: Largest size of the perturbation in the norm, on the scale of the
            images.
        norm: `"linf"`, or `"l2"` for DeepFool.
        batch_size: Integer, images attacked at once.
        seed: Integer for the attack's random start. It sets TensorFlow's global
            seed, which foolbox draws from.
        steps: Integer, the steps of BIM or PGD, where not foolbox's.
        step_size: Float, the size of a step of BIM or PGD, on the scale of the images,
            where not foolbox's.
        on_batch: Called after each batch with the number of images done in it.

    Returns:
        Float32 images in [0, 1] of the shape of `images`. Whether they fool
        anything is for the caller to judge, on fresh masks.

    Raises:
        ValueError: For an unknown attack, steps for one that has none, images outside
            [0, 1] or NaN, labels that do not fit, or a model that does not tell
            whether it returns logits.
        ImportError: If foolbox is not installed.

    Example:

    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> x, y = np.full((2, 8, 8, 1), 0.5, "float32"), np.array([0, 1])
    >>> adversarial = craft("fgsm", classifier, x, y, epsilon=0.1)
    >>> round(float(np.abs(adversarial - x).max()), 3)
    0.1

    Reference:
        Foolbox 3.3, whose defaults the MAD paper used (its section 3.3).
    """
    if (name, norm) not in CLASSES:
        known = ", ".join(f"{n} ({m})" for n, m in available())
        raise ValueError(
            f"`name` and `norm` must be one of: {known}. "
            f"Received: name={name!r}, norm={norm!r}"
        )
    images, labels = check_attack_inputs(images, labels, epsilon)
    check_positive_int("batch_size", batch_size)
    check_labels(labels, model.compute_output_shape(images.shape)[-1])
    options = _step_options(name, steps, step_size)
    attack = FoolboxAttack(name, norm, model, images.shape[1:], seed, **options)
    adversarial = np.empty_like(images)
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        adversarial[batch] = attack(images[batch], labels[batch], epsilon)
        if on_batch:
            on_batch(len(images[batch]))
    return adversarial


def _step_options(
    name: str, steps: int | None, step_size: float | None
) -> dict[str, Any]:
    if name not in ITERATIVE and (steps, step_size) != (None, None):
        raise ValueError(
            f"`steps` and `step_size` are for {' and '.join(ITERATIVE)} only. "
            f"Received: name={name!r}, steps={steps}, step_size={step_size}"
        )
    options: dict[str, Any] = {}
    if steps is not None:
        options["steps"] = check_positive_int("steps", steps)
    if step_size is not None:
        options["abs_stepsize"] = check_positive("step_size", step_size)
    return options
