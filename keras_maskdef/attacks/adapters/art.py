"""Adapters to the Adversarial Robustness Toolbox, with AutoAttack's settings."""

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from keras_maskdef.attacks.adapters.art_estimator import (
    estimate,
    load,
    logits_ratio,
    margin,
)
from keras_maskdef.attacks.attack import ORDERS, Run
from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.target import Target

APGD = ("steps", "restarts")
ATTACKS = (
    *(
        AttackInfo(name, norm, "art", "iterative", options=APGD)
        for name in ("apgd", "apgd-dlr")
        for norm in ("l1", "l2", "linf")
    ),
    *(
        AttackInfo("square", norm, "art", "iterative", False, ("steps", "restarts"))
        for norm in ("l2", "linf")
    ),
    *(
        AttackInfo("hopskipjump", norm, "art", "minimal", False, ("steps",))
        for norm in ("l2", "linf")
    ),
)


def make(info: AttackInfo, target: Target, **options: Any) -> Run:
    """Returns an attack of ART on a target."""
    evasion = load("art.attacks.evasion")
    build = MAKERS[info.name]
    keywords: dict[str, Any] = {"norm": ORDERS[info.norm], "verbose": False}

    def run(
        images: np.ndarray, labels: np.ndarray, epsilon: float, seed: int
    ) -> np.ndarray:
        _check_classes(info.name, target.classes)
        loss = logits_ratio if info.name == "apgd-dlr" else None
        estimator = estimate(target, images, loss)
        attack = build(evasion, estimator, len(images), epsilon, **keywords, **options)
        # Square divides by zero, see `margin`.
        with _seeded(seed), np.errstate(divide="ignore", invalid="ignore"):
            if info.name == "hopskipjump":
                return _where_right(attack.generate, estimator, images, labels)
            return attack.generate(images, labels)

    return run


def _apgd(
    evasion: Any,
    estimator: Any,
    batch: int,
    epsilon: float,
    steps: int = 100,
    restarts: int = 1,
    **keywords: Any,
) -> Any:
    return evasion.AutoProjectedGradientDescent(
        estimator,
        eps=epsilon,
        eps_step=2 * epsilon,
        max_iter=steps,
        nb_random_init=restarts,
        batch_size=batch,
        **keywords,
    )


def _square(
    evasion: Any,
    estimator: Any,
    batch: int,
    epsilon: float,
    steps: int = 5000,
    restarts: int = 1,
    **keywords: Any,
) -> Any:
    return evasion.SquareAttack(
        estimator,
        loss=margin(estimator),
        eps=epsilon,
        max_iter=steps,
        nb_restarts=restarts,
        batch_size=batch,
        **keywords,
    )


def _hopskipjump(
    evasion: Any,
    estimator: Any,
    batch: int,
    epsilon: float,
    steps: int = 50,
    **keywords: Any,
) -> Any:
    # HopSkipJump queries up to 10000 images at once: batches of a usual size instead.
    return evasion.HopSkipJump(
        estimator, max_iter=steps, batch_size=max(batch, 128), **keywords
    )


MAKERS = {
    "apgd": _apgd,
    "apgd-dlr": _apgd,
    "square": _square,
    "hopskipjump": _hopskipjump,
}


def _where_right(
    generate: Callable[[np.ndarray], np.ndarray],
    estimator: Any,
    images: np.ndarray,
    labels: np.ndarray,
) -> np.ndarray:
    """Skips images predicted wrong: HopSkipJump could make their predictions right."""
    right = estimator.predict(images).argmax(-1) == labels
    adversarial = images.copy()
    if right.any():
        adversarial[right] = generate(images[right])
    return adversarial


def _check_classes(name: str, classes: int) -> None:
    if name == "apgd-dlr" and classes < 3:
        raise ValueError(
            "`name` must be 'apgd' for a model of two classes: the ratio of logits in "
            f"apgd-dlr needs three. Received: name={name!r}, classes={classes}"
        )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds NumPy's and Python's global generators for ART, then restores them."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    generator, limited = np.random.RandomState, seed % 2**32  # noqa: NPY002
    np.random.seed(limited)  # noqa: NPY002
    # ART 1.20's HopSkipJump draws its start images from a generator without a seed.
    np.random.RandomState = partial(generator, limited)  # type: ignore[misc, assignment]  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.RandomState = generator  # type: ignore[misc]  # noqa: NPY002
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
