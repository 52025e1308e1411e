"""Adapters to cleverhans, by default with the steps of SFM-Defense (section 6.1)."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from keras import ops

from keras_maskdef._extra import require
from keras_maskdef.attacks._backends import this_backend
from keras_maskdef.attacks.attack import Run
from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.target import Target

STEPS, STEP_SIZE = 30, 1 / 255
# What it calls BIM is its PGD without a random start.
FUNCTIONS = {
    "fgsm": "fast_gradient_method",
    "bim": "projected_gradient_descent",
    "pgd": "projected_gradient_descent",
    "mim": "momentum_iterative_method",
}
KINDS = {"fgsm": "single-step"}
# Its attacks on JAX import a module that JAX has not had since 2022.
BACKENDS = {"mim": ("tensorflow",)}
ATTACKS = tuple(
    AttackInfo(
        name,
        "linf",
        "cleverhans",
        KINDS.get(name, "iterative"),
        options=() if name == "fgsm" else ("steps", "step_size"),
        backends=BACKENDS.get(name, ("tensorflow", "torch")),
    )
    for name in FUNCTIONS
)


def make(info: AttackInfo, target: Target, **options: Any) -> Run:
    """An attack of cleverhans on a target."""
    # Cleverhans traces its gradient once for each function it is given: ours is kept.
    return iterate(info.name, target, target.view_logits, **options)


def iterate(
    name: str,
    target: Target,
    model: Callable[[Any], Any],
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
) -> Run:
    """An attack of cleverhans that climbs a model's loss, from the target's labels."""
    backend, function = this_backend(), FUNCTIONS[name]
    module = require(f"{backend.cleverhans}.{function}", "attacks")
    attack = functools.partial(
        getattr(module, function), norm=np.inf, clip_min=0.0, clip_max=1.0
    )

    def run(
        images: np.ndarray, labels: np.ndarray, epsilon: float, seed: int
    ) -> np.ndarray:
        # One label for each view: cleverhans then sums the losses over views, and of
        # a gradient's scale none of these attacks takes notice.
        y = backend.labels(np.tile(labels, target.views))
        x, sizes = backend.images(images), _sizes(name, epsilon, steps, step_size)
        with backend.seeded(seed) if name == "pgd" else nullcontext():
            made = attack(model, x, y=y, sanity_checks=False, **sizes)
        return ops.convert_to_numpy(made)

    return run


def _sizes(name: str, epsilon: float, steps: int, step_size: float) -> dict[str, Any]:
    if name == "fgsm":
        return {"eps": epsilon}
    sizes = {"eps": epsilon, "eps_iter": step_size, "nb_iter": steps}
    if name == "mim":
        return sizes
    # It refuses steps longer than epsilon.
    return {**sizes, "eps_iter": min(step_size, epsilon), "rand_init": name == "pgd"}
