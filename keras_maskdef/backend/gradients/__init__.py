"""The backends that attacks run on, by their names in Keras."""

from collections.abc import Callable

import keras

from keras_maskdef.backend.gradients.base import Backend
from keras_maskdef.backend.gradients.jax import Jax
from keras_maskdef.backend.gradients.tensorflow import TensorFlow
from keras_maskdef.backend.gradients.torch import Torch

_CLASSES: dict[str, Callable[[], Backend]] = {
    "tensorflow": TensorFlow,
    "jax": Jax,
    "torch": Torch,
}


def this_backend() -> Backend:
    """The backend that Keras runs on in this process."""
    name = keras.backend.backend()
    if name not in _CLASSES:
        raise ValueError(
            f"Attacks run on the backends {', '.join(_CLASSES)}. "
            f"Received: keras.backend.backend()={name!r}"
        )
    return _CLASSES[name]()
