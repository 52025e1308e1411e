"""A target as an estimator of the Adversarial Robustness Toolbox."""

import warnings
from typing import Any

import numpy as np
from keras import ops

from keras_maskdef.attacks.target import Target
from keras_maskdef.backend.gradients import this_backend
from keras_maskdef.backend.gradients.base import Loss
from keras_maskdef.core.extras import require


def load(module: str) -> Any:
    """Imports a module of ART without its warning that PyTorch is missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PyTorch not found", UserWarning)
        return require(module, "attacks")


def estimate(target: Target, images: np.ndarray, loss: Loss | None = None) -> Any:
    """Returns an ART classifier, of no framework, that calls the target.

    ART 1.20 has none for JAX; those for TensorFlow and PyTorch call the model eagerly
    for losses. ART's attacks need the methods below, not a framework.
    """
    kinds = load("art.estimators.classification.classifier")
    base: Any = kinds.ClassifierNeuralNetwork
    backend, compiled = this_backend(), target.compiled_loss(loss)

    def filled(array: np.ndarray) -> np.ndarray:
        # ART passes only images that are not yet fooled, so batches have any size.
        shape = (backend.rows(len(array)), *array.shape[1:])
        return array if shape == array.shape else np.resize(array, shape)

    def logits(x: np.ndarray) -> np.ndarray:
        outputs = target.logits(backend.images(filled(x)))
        return ops.convert_to_numpy(outputs)[: len(x)]

    def with_labels(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
        labels = filled(y.argmax(axis=1))
        return backend.images(filled(x)), backend.labels(labels)

    class Estimator(base):
        input_shape = images.shape[1:]

        def predict(self, x: np.ndarray, batch_size: int = 128, **_: Any) -> np.ndarray:
            starts = range(0, len(x), batch_size)
            return np.concatenate([logits(x[s : s + batch_size]) for s in starts])

        def compute_loss(
            self, x: np.ndarray, y: np.ndarray, reduction: str = "none", **_: Any
        ) -> np.ndarray:
            losses = compiled.values(*with_labels(x, y))
            return ops.convert_to_numpy(losses)[: len(x)]

        def loss_gradient(self, x: np.ndarray, y: np.ndarray, **_: Any) -> np.ndarray:
            _, gradient = compiled.gradient(*with_labels(x, y))
            return ops.convert_to_numpy(gradient)[: len(x)]

        def not_asked_for(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError

        fit = class_gradient = get_activations = save = not_asked_for

    estimator = Estimator(
        model=target.logits,
        clip_values=(0.0, 1.0),
        preprocessing=None,
        channels_first=False,
    )
    estimator.nb_classes = target.classes
    return estimator


def logits_ratio(labels: Any, logits: Any) -> Any:
    """The difference of logits ratio of AutoAttack (Croce, Hein, ICML 2020, eq. 5).

    ART's own loss loops over the images in Python at each step; this one does not.
    """
    best = ops.top_k(logits, 3)[0]
    true = ops.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    rival = ops.where(true == best[:, 0], best[:, 1], best[:, 0])
    return (rival - true) / (best[:, 0] - best[:, 2] + 1e-12)


def margin(estimator: Any) -> Any:
    """Returns a loss: the margin of the true class, infinite for images with NaN.

    ART 1.20's Square divides by zero in L2 where a window is not perturbed yet. A
    network can turn the NaN into a small loss, and ART then keeps these images.
    """

    def loss(images: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
        logits = estimator.predict(images, batch_size=len(images))
        rivals = np.where(one_hot > 0, -np.inf, logits).max(-1)
        margins = logits[one_hot > 0] - rivals
        return np.where(np.isnan(images).any((1, 2, 3)), np.inf, margins)

    return loss
