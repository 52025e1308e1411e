"""Adapters to cleverhans, by default with the steps of SFM-Defense (section 6.1)."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from types import FunctionType
from typing import Any

import numpy as np
from keras import ops

from keras_maskdef.attacks.attack import Run
from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.target import Target
from keras_maskdef.backend.gradients import this_backend
from keras_maskdef.core.extras import require

STEPS, STEP_SIZE = 30, 1 / 255
Vary = Callable[[Any, Callable[[Any], Any]], Any]
# BIM in cleverhans is its PGD without a random start.
FUNCTIONS = {
    "fgsm": "fast_gradient_method",
    "bim": "projected_gradient_descent",
    "pgd": "projected_gradient_descent",
    "mim": "momentum_iterative_method",
}
KINDS = {"fgsm": "single-step"}
# cleverhans' attacks for JAX import a module that JAX has not had since 2022.
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
    """Returns an attack of cleverhans on a target."""
    return iterate(info.name, target, **options)


def iterate(
    name: str,
    target: Target,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    vary: Vary = lambda images, gradient: gradient(images),
) -> Run:
    """Returns an attack of cleverhans that maximises a target's loss.

    Args:
        name: Of `FUNCTIONS`.
        target: The model under attack.
        steps: Number of steps.
        step_size: Size of a step, for images in [0, 1].
        vary: Returns the gradient to follow, from images and a function that gives the
            gradient by images (TensorFlow only).
    """
    backend, function = this_backend(), FUNCTIONS[name]
    module = require(f"{backend.cleverhans}.{function}", "attacks")

    def gradient(images: Any, labels: Any) -> Any:
        def by_images(images: Any) -> Any:
            return target.compiled_loss().gradient(images, labels)[1]

        return vary(images, by_images)

    attack = functools.partial(
        _following(getattr(module, function), gradient),
        target.view_logits,
        norm=np.inf,
        clip_min=0.0,
        clip_max=1.0,
    )

    def run(
        images: np.ndarray, labels: np.ndarray, epsilon: float, seed: int
    ) -> np.ndarray:
        # One label for each view: cleverhans then sums the losses over views. None of
        # these attacks depends on the scale of the gradient.
        y = backend.labels(np.tile(labels, target.views))
        x, sizes = backend.images(images), _sizes(name, epsilon, steps, step_size)
        with backend.seeded(seed) if name == "pgd" else nullcontext():
            adversarial = attack(x, y=y, sanity_checks=False, **sizes)
        return ops.convert_to_numpy(adversarial)

    return run


def _following(attack: Any, gradient: Callable[[Any, Any], Any]) -> Any:
    """Returns the attack on TensorFlow with our gradient for its `compute_gradient`.

    `compute_gradient` is a `tf.function` that traces each model and keeps the trace. On
    PyTorch there is no such function, and the attack stays as it is.
    """

    def compute_gradient(model: Any, loss: Any, x: Any, y: Any, targeted: bool) -> Any:
        return gradient(x, y[: x.shape[0]])

    names, inner = attack.__globals__, attack.__globals__.get("fast_gradient_method")
    if "compute_gradient" in names:
        names = {**names, "compute_gradient": compute_gradient}
    elif inner not in (None, attack):
        names = {**names, "fast_gradient_method": _following(inner, gradient)}
    return FunctionType(attack.__code__, names, argdefs=attack.__defaults__)


def _sizes(name: str, epsilon: float, steps: int, step_size: float) -> dict[str, Any]:
    if name == "fgsm":
        return {"eps": epsilon}
    sizes = {"eps": epsilon, "eps_iter": step_size, "nb_iter": steps}
    if name == "mim":
        return sizes
    # cleverhans refuses steps longer than epsilon.
    return {**sizes, "eps_iter": min(step_size, epsilon), "rand_init": name == "pgd"}
