"""Trains MagNet's reformer."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_maskdef.core.batches import ShuffledBatches
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.training import Trained, fit


def train_autoencoder(
    setting: Autoencoder,
    data: ImageData,
    folder: Path | None = None,
    start: Start = silent,
    keep: Callable[[Trained], None] | None = None,
) -> Trained:
    """Trains an autoencoder to remove Gaussian noise from images.

    Sets Keras' random seed.

    Args:
        setting: The settings of the training.
        data: Training images.
        folder: Folder of backup and log, see `training.fit`.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.
        keep: Called with the result before the backup is deleted.

    Returns:
        The autoencoder, from images to images, and the figures of each epoch.
    """
    from keras_maskdef import baselines

    keras.utils.set_random_seed(setting.seed)
    model = baselines.autoencoder(data.images.shape[1:], setting.width)
    inputs = keras.Input(data.images.shape[1:])
    noisy = keras.layers.GaussianNoise(setting.noise, seed=setting.seed)(inputs)
    clipped = keras.ops.clip(noisy, 0.0, 1.0)
    trained = keras.Model(inputs, model(clipped))
    trained.compile(keras.optimizers.Adam(setting.learning_rate), "mse")
    images = np.asarray(data.images)
    batches = ShuffledBatches((images, images), setting.batch_size, setting.seed)

    def finished(history: dict[str, list[float]]) -> Trained:
        result = Trained(model, history)
        if keep is not None:
            keep(result)
        return result

    return fit(trained, batches, setting.epochs, folder, start, setting.title, finished)
