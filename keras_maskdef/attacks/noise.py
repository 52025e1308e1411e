"""Random perturbations, the sanity check that every attack must beat."""

from collections.abc import Callable

import numpy as np

from keras_maskdef.attacks.attack import Run
from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.target import Target

ATTACKS = tuple(
    AttackInfo("noise", norm, "keras_maskdef", "single-step", uses_gradient=False)
    for norm in ("l1", "l2", "linf")
)


def make(info: AttackInfo, target: Target) -> Run:
    """A random perturbation of exactly epsilon, before images are clipped to [0, 1].

    Random signs in Linf; a uniform direction in L2; uniform on the sphere in L1.

    Args:
        info: The registry's entry, which has the norm.
        target: Not used: noise needs no model.

    Returns:
        The attack on one batch.

    Example:

    >>> from keras_maskdef.attacks import craft
    >>> images = np.full((1, 4, 4, 1), 0.5)
    >>> noisy = craft("noise", lambda x: 9 * x[:, 0, :, 0], images, np.array([0]), 0.25)
    >>> np.unique(noisy).tolist()
    [0.25, 0.75]
    """
    draw = DRAWS[info.norm]

    def run(
        images: np.ndarray, labels: np.ndarray, epsilon: float, seed: int
    ) -> np.ndarray:
        flat = draw(np.random.default_rng(seed), (len(images), images[0].size))
        return images + epsilon * flat.reshape(images.shape)

    return run


def _signs(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return generator.choice([-1.0, 1.0], shape)


def _direction(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    normal = generator.standard_normal(shape)
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _on_l1_sphere(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    sizes = generator.standard_exponential(shape)
    return _signs(generator, shape) * sizes / sizes.sum(axis=1, keepdims=True)


DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "l1": _on_l1_sphere,
    "l2": _direction,
    "linf": _signs,
}
