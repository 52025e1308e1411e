"""A target as the Adversarial Robustness Toolbox sees it."""

import warnings
from typing import Any

import numpy as np
from keras import ops

from keras_maskdef._extra import require
from keras_maskdef.attacks._gradients import Loss
from keras_maskdef.attacks.target import Target


def load(module: str) -> Any:
    """Imports a module of ART, which warns at its import that PyTorch is not here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PyTorch not found", UserWarning)
        return require(module, "attacks")


def estimate(target: Target, images: np.ndarray, loss: Loss | None = None) -> Any:
    """ART's classifier of TensorFlow models, whose calls are the target's.

    ART 1.20 predicts all images at once whatever `batch_size` says, and calls the
    model eagerly for losses.
    """
    base: Any = load("art.estimators.classification").TensorFlowV2Classifier
    compiled = target.compiled_loss(loss)

    class Estimator(base):
        def predict(self, x: np.ndarray, batch_size: int = 128, **_: Any) -> np.ndarray:
            starts = range(0, len(x), batch_size)
            parts = [target.logits(x[s : s + batch_size]).numpy() for s in starts]
            return np.concatenate(parts)

        def compute_loss(
            self, x: np.ndarray, y: np.ndarray, reduction: str = "none", **_: Any
        ) -> np.ndarray:
            return compiled.values(*_tensors(x, y)).numpy()

        def loss_gradient(self, x: np.ndarray, y: np.ndarray, **_: Any) -> np.ndarray:
            return compiled.gradient(*_tensors(x, y))[1].numpy()

    return Estimator(
        target.logits,
        nb_classes=target.classes,
        input_shape=images.shape[1:],
        clip_values=(0.0, 1.0),
        preprocessing=None,
    )


def logits_ratio(labels: Any, logits: Any) -> Any:
    """The difference of logits ratio of AutoAttack (Croce, Hein, ICML 2020, eq. 5).

    ART's own takes a Python loop over images in each step, so we hand it this one.
    """
    best = ops.top_k(logits, 3)[0]
    true = ops.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    rival = ops.where(true == best[:, 0], best[:, 1], best[:, 0])
    return (rival - true) / (best[:, 0] - best[:, 2] + 1e-12)


def margin(estimator: Any) -> Any:
    """How far each image is from fooling a model; infinite for images with NaN.

    ART 1.20's Square divides by zero in L2 where a window is not perturbed yet. A
    network can make a small loss of the NaN, and ART then keeps them.
    """

    def loss(images: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
        logits = estimator.predict(images, batch_size=len(images))
        rivals = np.where(one_hot > 0, -np.inf, logits).max(-1)
        margins = logits[one_hot > 0] - rivals
        return np.where(np.isnan(images).any((1, 2, 3)), np.inf, margins)

    return loss


def _tensors(images: np.ndarray, one_hot: np.ndarray) -> tuple[Any, Any]:
    tf = require("tensorflow", "attacks")
    labels = np.argmax(one_hot, axis=1)
    return tf.constant(images, "float32"), tf.constant(labels, "int64")
