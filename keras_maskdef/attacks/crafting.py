"""Adversarial images from an attack by its name."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_maskdef.attacks.inputs import check_attack_inputs
from keras_maskdef.attacks.registry import prepare
from keras_maskdef.core.arguments import check_positive_int
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.value_range import UNIT


def craft(
    name: str,
    model: Any,
    images: Any,
    labels: Any,
    epsilon: float | Sequence[float],
    norm: str = "linf",
    batch_size: int = 128,
    seed: int = 0,
    on_batch: Callable[[int], None] | None = None,
    library: str | None = None,
    value_range: Sequence[float] = UNIT,
    **options: Any,
) -> np.ndarray:
    """Crafts adversarial images against a model, by an attack of a public library.

    | name           | norms        | library    | options                         |
    | -------------- | ------------ | ---------- | ------------------------------- |
    | fgsm           | l1, l2, linf | foolbox    |                                 |
    | bim, pgd       | l1, l2, linf | foolbox    | steps, step_size                |
    | cw             | l2           | foolbox    | steps, binary_search_steps, ... |
    | deepfool       | l2, linf     | foolbox    | steps                           |
    | fgsm           | linf         | cleverhans |                                 |
    | bim, pgd, mim  | linf         | cleverhans | steps, step_size                |
    | diverse        | linf         | ours       | steps, step_size, probability   |
    | noise          | l1, l2, linf | ours       |                                 |
    | apgd, apgd-dlr | l1, l2, linf | art        | steps, restarts                 |
    | square         | l2, linf     | art        | steps, restarts                 |
    | hopskipjump    | l2, linf     | art        | steps                           |

    `describe` gives all options and the kind of an attack. "Ours" is
    `library="keras_maskdef"`; `diverse` is cleverhans' MIM on varied images.

    The attacks run on Keras' backend: TensorFlow, JAX or PyTorch. Nothing of cleverhans
    runs on JAX; its MIM, and so `diverse`, runs on TensorFlow only. `available()` lists
    the attacks on the current backend.

    Foolbox runs with its own defaults, as in the MAD paper: BIM takes 10 steps of
    epsilon / 5, PGD 40 of epsilon / 30 (50 of epsilon / 40 in L1 and L2) from a random
    start. Fewer steps are enlarged to go as far in all. Cleverhans takes SFM-Defense's
    30 steps of 1/255, in BIM and PGD at most epsilon; its PGD starts at random. ART
    runs with AutoAttack's settings: APGD takes 100 steps, the first of 2 epsilon,
    Square 5000, from one start each.

    CW, DeepFool and HopSkipJump are minimum-norm attacks. Their perturbation is cut to
    epsilon, so it may no longer fool the model. Where CW or HopSkipJump fails it is 0.

    Args:
        name: Name of the attack: one of `available()`.
        model: Keras classifier under attack, called in inference mode, a function of
            images, or a `Target` of either; it may return logits or probabilities. It
            is what the attacker knows: the base model in the MAD paper,
            `expectation_over_masks(defended)` for an adaptive attack.
        images: Floating point images in `value_range`, `(n, height, width, channels)`.
        labels: Integers `(n,)`, the true classes.
        epsilon: Perturbation budget in the norm, on the scale of the images; or K of
            them.
        norm: `"l1"`, `"l2"` or `"linf"`.
        batch_size: Integer, images attacked at once.
        seed: Integer for the attack's random draws: the batch that starts at image i
            uses `seed + i`. On TensorFlow cleverhans' PGD sets the global seed to it.
        on_batch: Called after each batch with the number of images done in it.
        library: The library of the attack; None for the first in the table.
        value_range: The lowest and the highest value of the images that the model
            takes, such as `(0, 255)`; a `Target` has its own. The libraries get images
            in [0, 1] and a model of such images.
        **options: Options in the table. `steps` is the number of iterations, in CW of
            each search step; `step_size` is on the scale of the images, but in CW it is
            Adam's rate. None keeps the default. The default steps of 1/255 are one
            level of 256 in any range.

    Returns:
        Float32 images in `value_range` of the shape of `images`, within epsilon of them
        to a millionth of the range; for K epsilons, `(K, n, height, width, channels)`.
        The caller has to measure whether they fool the defence, on fresh masks.

    Raises:
        ValueError: For an unknown attack, an option that it does not have, one that its
            library does not have for Keras' backend, images outside of `value_range`
            or NaN, labels that do not fit, or a model whose gradients are not finite.
        ImportError: If the library is not installed.

    Example:

    >>> import keras
    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> x, y = np.full((2, 8, 8, 1), 0.5, "float32"), np.array([0, 1])
    >>> adversarial = craft("fgsm", classifier, x, y, epsilon=0.1)
    >>> round(float(np.abs(adversarial - x).max()), 3)
    0.1
    >>> craft("bim", classifier, x, y, epsilon=[0.1, 0.2], norm="l2", steps=3).shape
    (2, 2, 8, 8, 1)

    Reference:
        Foolbox 3.3, whose defaults the MAD paper used (its section 3.3);
        SFM-Defense, section 6.1; Croce, Hein: AutoAttack, ICML 2020.
    """
    epsilons = np.atleast_1d(epsilon).tolist()
    attack = prepare(name, model, norm, library, value_range, **options)
    target_range = attack.target.value_range
    images, labels = check_attack_inputs(images, labels, epsilons, target_range)
    check_positive_int("batch_size", batch_size)
    adversarial = np.empty((len(epsilons), *images.shape), "float32")
    if len(images):
        attack.compile(images)
        check_labels(labels, len(images), attack.target.classes)
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        crafted = attack(images[batch], labels[batch], epsilons, seed + start)
        adversarial[:, batch] = crafted
        if on_batch:
            on_batch(crafted.shape[1])
    return adversarial if np.ndim(epsilon) else adversarial[0]
