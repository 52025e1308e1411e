"""The backends that attacks run on, by Keras' name of them."""

from collections.abc import Callable

import keras

from keras_maskdef.attacks._backend import Backend
from keras_maskdef.attacks._jax import Jax
from keras_maskdef.attacks._tensorflow import TensorFlow
from keras_maskdef.attacks._torch import Torch

_CLASSES: dict[str, Callable[[], Backend]] = {
    "tensorflow": TensorFlow,
    "jax": Jax,
    "torch": Torch,
}


def this_backend() -> Backend:
    """The one that Keras runs on in this process."""
    name = keras.backend.backend()
    if name not in _CLASSES:
        raise ValueError(
            f"Attacks run on the backends {', '.join(_CLASSES)}. "
            f"Received: keras.backend.backend()={name!r}"
        )
    return _CLASSES[name]()
