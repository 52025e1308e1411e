"""One of two workers of MultiWorkerMirroredStrategy; run by its own test.

Arguments: a folder for the backups of this worker, and that of the chief.
"""

import contextlib
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import ops  # noqa: E402
from train_on_two_workers import OnWorkers  # noqa: E402

import keras_maskdef as kmd  # noqa: E402
from keras_maskdef.backend.barrier import wait_for_all  # noqa: E402
from keras_maskdef.callbacks._backup import Backup  # noqa: E402

OWN, SHARED = Path(sys.argv[1]), Path(sys.argv[2])
STRATEGY = tf.distribute.MultiWorkerMirroredStrategy()
X = np.random.default_rng(0).random((24, 12, 12, 1)).astype("float32")
Y = np.arange(24) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
INPUT = (12, 12, 1)


def training(scope, initial_epoch=0, **options):
    """A classifier in turn with a masker: nothing is drawn."""
    keras.utils.set_random_seed(1)
    with scope():
        layers = [
            keras.layers.Conv2D(3, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
        network = keras.Sequential([keras.Input(INPUT), *layers])
        convolution = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")
        masker = kmd.SparseFeatureMasker(
            keras.Sequential([keras.Input(INPUT), convolution])
        )
    model = OnWorkers(network)
    with scope():
        model.build((None, *INPUT))
        model.compile(keras.optimizers.SGD(0.1), LOSS, jit_compile=False)
        callback = kmd.AlternatingTraining(
            masker,
            X,
            batch_size=8,
            train_on="masked",
            preprocessing=kmd.MedianFilter(2),
            validation_data=(X, Y),
            **options,
        )
        history = model.fit(
            tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),
            epochs=2,
            initial_epoch=initial_epoch,
            callbacks=[callback],
            shuffle=False,
            verbose=0,
        ).history
    weights = [ops.convert_to_numpy(w) for w in [*model.weights, *masker.weights]]
    return history, weights


def slow_load(self, epoch, load=Backup.load):
    """The chief reads, and could delete, long before."""
    if OWN != SHARED:
        time.sleep(5)
    return load(self, epoch)


together, mirrored = training(STRATEGY.scope, backup_dir=OWN, delete_backup=False)
wait_for_all(STRATEGY)
# Started again when all is trained: the masker comes back, and its backups go.
Backup.load = slow_load
_, again = training(STRATEGY.scope, initial_epoch=2, backup_dir=SHARED)
for a, b in zip(mirrored[-2:], again[-2:], strict=True):
    np.testing.assert_array_equal(a, b)
alone, weights = training(contextlib.nullcontext)
for a, b in zip(mirrored, weights, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
for name, values in alone.items():
    np.testing.assert_allclose(together[name], values, rtol=1e-4)
