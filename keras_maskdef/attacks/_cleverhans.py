"""Adapters to cleverhans, by default with the steps of SFM-Defense (section 6.1)."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_maskdef._extra import require
from keras_maskdef.attacks.attack import Run
from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.target import Target

STEPS, STEP_SIZE = 30, 1 / 255
FUNCTIONS = {
    "fgsm": "fast_gradient_method",
    "bim": "basic_iterative_method",
    "pgd": "projected_gradient_descent",
    "mim": "momentum_iterative_method",
}
KINDS = {"fgsm": "single-step"}
ATTACKS = tuple(
    AttackInfo(
        name,
        "linf",
        "cleverhans",
        KINDS.get(name, "iterative"),
        options=() if name == "fgsm" else ("steps", "step_size"),
    )
    for name in FUNCTIONS
)


def make(info: AttackInfo, target: Target, **options: Any) -> Run:
    """An attack of cleverhans on a target."""
    # Cleverhans traces its gradient once for each function it is given: ours is kept.
    return iterate(FUNCTIONS[info.name], target, target.view_logits, **options)


def iterate(
    function: str,
    target: Target,
    model: Callable[[Any], Any],
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
) -> Run:
    """A function of cleverhans that climbs a model's loss, from the target's labels."""
    tf = require("tensorflow", "attacks")
    module = require(f"cleverhans.tf2.attacks.{function}", "attacks")
    attack = functools.partial(
        getattr(module, function), norm=np.inf, clip_min=0.0, clip_max=1.0
    )

    def run(
        images: np.ndarray, labels: np.ndarray, epsilon: float, seed: int
    ) -> np.ndarray:
        if function == "projected_gradient_descent":
            tf.random.set_seed(seed)
        x = tf.constant(images)
        # One label for each view: cleverhans then sums the losses over views, and of
        # a gradient's scale none of these attacks takes notice.
        y = labels if target.views == 1 else np.tile(labels, (target.views, 1))
        sized = _sizes(function, epsilon, steps, step_size)
        return attack(model, x, y=tf.constant(y), sanity_checks=False, **sized).numpy()

    return run


def _sizes(
    function: str, epsilon: float, steps: int, step_size: float
) -> dict[str, Any]:
    if function == "fast_gradient_method":
        return {"eps": epsilon}
    sizes = {"eps": epsilon, "eps_iter": step_size, "nb_iter": steps}
    if function != "momentum_iterative_method":
        # It refuses steps longer than epsilon.
        sizes["eps_iter"] = min(step_size, epsilon)
    if function == "projected_gradient_descent":
        sizes["rand_init"] = True
    return sizes
