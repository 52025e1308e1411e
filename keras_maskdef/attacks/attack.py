"""An attack on one model, ready to run on batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.inputs import check_attack_inputs
from keras_maskdef.attacks.target import JUDGED, Target
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.value_range import from_unit, span, to_unit

# Of images, labels, epsilon and seed; minimum-norm attacks need no epsilon.
Run = Callable[[np.ndarray, np.ndarray, float, int], np.ndarray]
ORDERS = {"l1": 1, "l2": 2, "linf": np.inf}


class Attack:
    """One attack on one model, as `prepare` returns it.

    Args:
        info: The attack's entry in the registry.
        target: The model under attack.
        run: The library's attack on one batch.

    Returns:
        A callable. `attack(images, labels, epsilons, seed)` takes one batch of
        floating point images `(n, height, width, channels)` in the `value_range` of
        the target, integers `(n,)`, K epsilons on that scale and an integer. It returns
        float32 `(K, n, height, width, channels)` in the same range, each image within
        its epsilon to a millionth of the range. The result depends on the arguments and
        the model's own random state only. On TensorFlow cleverhans' PGD sets the global
        seed, from which it draws; the random states of NumPy, Python and PyTorch are
        left as they are.

    Raises:
        ValueError: In a call, for images outside of the range, labels that do not
            fit, an epsilon that is not above 0, or adversarial images with NaN.

    Example:

    >>> import keras
    >>> from keras_maskdef.attacks import prepare
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> attack = prepare("fgsm", classifier)
    >>> attack(np.full((2, 8, 8, 1), 0.5), np.array([0, 1]), [0.1, 0.2], 0).shape
    (2, 2, 8, 8, 1)
    """

    def __init__(self, info: AttackInfo, target: Target, run: Run) -> None:
        self.info, self.target, self._run = info, target, run

    def __call__(
        self, images: Any, labels: Any, epsilons: Sequence[float], seed: int = 0
    ) -> np.ndarray:
        value_range = self.target.value_range
        images, labels = check_attack_inputs(images, labels, epsilons, value_range)
        if not len(images):
            return np.empty((len(epsilons), *images.shape), "float32")
        self.compile(images)
        images = to_unit(images, value_range)
        epsilons = [epsilon / span(value_range) for epsilon in epsilons]
        check_labels(labels, len(images), self.target.classes)
        if self.info.kind == "minimal":
            crafted = [self._finite_run(images, labels, max(epsilons), seed)]
            crafted *= len(epsilons)
        else:
            crafted = [self._finite_run(images, labels, e, seed) for e in epsilons]
        norm, sized = self.info.norm, zip(crafted, epsilons, strict=True)
        balls = np.stack([into_ball(batch, images, e, norm) for batch, e in sized])
        return from_unit(balls, value_range)

    def compile(self, images: Any) -> None:
        """Compiles the target for images of this shape, unless it is compiled.

        Args:
            images: Some real images, as in a call.
        """
        images = np.asarray(images[:JUDGED], "float32")
        self.target.compile(to_unit(images, self.target.value_range))

    def _finite_run(
        self, images: np.ndarray, labels: np.ndarray, epsilon: float, seed: int
    ) -> np.ndarray:
        crafted = self._run(images, labels, float(epsilon), seed)
        broken = ~np.isfinite(crafted).all((1, 2, 3))
        if broken.any():
            raise ValueError(
                "`model` must have finite outputs and gradients: an image that no "
                "attack could change would count as withstood. Received: "
                f"{broken.sum()} of {len(images)} images as NaN from {self.info}"
            )
        return crafted


def into_ball(
    made: np.ndarray, images: np.ndarray, epsilon: float, norm: str
) -> np.ndarray:
    """Clips images to [0, 1] and their perturbations to epsilon.

    Libraries overshoot by rounding, and minimum-norm perturbations have any norm. In
    L1 and L2 a perturbation is scaled down, as in foolbox, which keeps it in [0, 1].
    """
    if norm == "linf":
        made = np.clip(made, images - epsilon, images + epsilon)
        return np.clip(made, 0, 1).astype("float32", copy=False)
    change = np.clip(made, 0, 1).astype("float64") - images
    sizes = np.linalg.norm(change.reshape(len(change), -1), ORDERS[norm], axis=1)
    factors = np.minimum(1, epsilon / np.maximum(sizes, 1e-12))
    return (images + change * factors.reshape(-1, 1, 1, 1)).astype("float32")
