"""Adapters to foolbox, with its default settings (those of the MAD paper)."""

from typing import Any

import keras
import numpy as np

from keras_maskdef._extra import require
from keras_maskdef.layers._output_kind import infer_from_logits

# Attacks whose number and size of steps can be chosen.
ITERATIVE = ("bim", "pgd")
# The name and norm of an attack here, and the class of foolbox that runs it.
CLASSES = {
    ("fgsm", "linf"): "LinfFastGradientAttack",
    ("bim", "linf"): "LinfBasicIterativeAttack",
    ("pgd", "linf"): "LinfProjectedGradientDescentAttack",
    ("deepfool", "linf"): "LinfDeepFoolAttack",
    ("deepfool", "l2"): "L2DeepFoolAttack",
}


class FoolboxAttack:
    """One attack of foolbox on one Keras model, whose call is compiled once."""

    def __init__(
        self,
        name: str,
        norm: str,
        model: keras.Model,
        image_shape: tuple,
        seed: int,
        **options: Any,
    ) -> None:
        foolbox = require("foolbox", "attacks")
        tf = require("tensorflow", "attacks")
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Attacks run on the TensorFlow backend only for now. "
                f"Received: keras.backend.backend()={keras.backend.backend()!r}"
            )
        self._attack = getattr(foolbox.attacks, CLASSES[name, norm])(**options)
        self._tensorflow = tf
        gpus = tf.config.list_physical_devices("GPU")
        self._model = foolbox.TensorFlowModel(
            compiled_logits(model, image_shape),
            bounds=(0, 1),
            device="/GPU:0" if gpus else "/CPU:0",
        )
        # foolbox draws its random starts from TensorFlow's global generator.
        tf.random.set_seed(seed)

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, epsilon: float
    ) -> np.ndarray:
        tensor = self._tensorflow.constant
        _, adversarial, _ = self._attack(
            self._model, tensor(images), tensor(labels), epsilons=epsilon
        )
        return adversarial.numpy()


def compiled_logits(model: keras.Model, image_shape: tuple) -> Any:
    """A model's logits in inference mode, traced once for all batch sizes."""
    tf = require("tensorflow", "attacks")
    from_logits = infer_from_logits(model)

    @tf.function
    def logits(images: Any) -> Any:
        outputs = tf.cast(model(images, training=False), tf.float32)
        if from_logits:
            return outputs
        return tf.math.log(tf.maximum(outputs, keras.config.epsilon()))

    # As a concrete function: TensorFlow would take one trace a model for retracing.
    return logits.get_concrete_function(tf.TensorSpec((None, *image_shape)))
