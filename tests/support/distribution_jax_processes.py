"""One of two processes that train together under JAX; run by its own test.

Arguments: the number of this process, the address of the first, a folder for backups
of this process, and that of the first.
"""

import sys
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

number, address = int(sys.argv[1]), sys.argv[2]
OWN, SHARED = Path(sys.argv[3]), Path(sys.argv[4])
keras.distribution.initialize(address, num_processes=2, process_id=number)

import keras_maskdef as kmd  # noqa: E402
from keras_maskdef.backend.barrier import wait_for_all  # noqa: E402
from keras_maskdef.callbacks._backup import Backup  # noqa: E402

X = np.random.default_rng(0).random((24, 12, 12, 1)).astype("float32")
Y = np.arange(24) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
INPUT = (12, 12, 1)
HALVES = np.arange(24).reshape(2, 12)


def training(rows, batch_size, initial_epoch=0, **options):
    """A network under masks, trained in turn with a masker."""
    keras.utils.set_random_seed(1)
    layers = [
        kmd.RandomGridMask(2, 0.5, seed=7),
        keras.layers.Conv2D(3, 3, strides=2, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    classifier = keras.Sequential([keras.Input(INPUT), *layers])
    classifier.compile(keras.optimizers.SGD(0.1), LOSS)
    convolution = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")
    network = keras.Sequential([keras.Input(INPUT), convolution])
    masker = kmd.SparseFeatureMasker(network)
    data = Batches(X[rows], batch_size)
    callback = kmd.AlternatingTraining(masker, data, **options)
    classifier.fit(
        X[rows],
        Y[rows],
        batch_size=batch_size,
        epochs=2,
        initial_epoch=initial_epoch,
        shuffle=False,
        callbacks=[callback],
        verbose=0,
    )
    weights = [*classifier.trainable_weights, *masker.weights]
    return [ops.convert_to_numpy(w) for w in weights]


class Batches(keras.utils.PyDataset):
    """Images in their order."""

    def __init__(self, images, batch_size):
        super().__init__()
        self.batches = np.split(images, len(images) // batch_size)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return (self.batches[index],)


def slow_load(self, epoch, load=Backup.load):
    """The first process reads, and could delete, long before."""
    if OWN != SHARED:
        time.sleep(5)
    return load(self, epoch)


devices = keras.distribution.list_devices()
assert len(devices) == 2, devices
# Each process gives its own half of every batch.
parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
keras.distribution.set_distribution(parallel)
together = training(HALVES[number], 4, backup_dir=OWN, delete_backup=False)
wait_for_all(None)
# Started again when all is trained: the masker comes back, and its backups go.
Backup.load = slow_load
again = training(HALVES[number], 4, initial_epoch=2, backup_dir=SHARED)
for a, b in zip(together[-2:], again[-2:], strict=True):
    np.testing.assert_array_equal(a, b)
keras.distribution.set_distribution(None)
alone = training(HALVES.reshape(2, 3, 4).transpose(1, 0, 2).ravel(), 8)
for a, b in zip(together, alone, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
