"""Peak of the memory of a certificate from many samples, in MiB above one from few.

python tests/support/certify_many_samples.py 6000000 67108864
"""

import sys

import keras
import numpy as np
from peak_memory import peak

import keras_maskdef as kmd


def main():
    samples, memory = map(int, sys.argv[1:])
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    defence = kmd.VotingEnsemble(network, kmd.RandomGridMask(2, 0.8))
    images = np.random.default_rng(0).random((1, 8, 8, 1)).astype("float32")
    options = {"method": "per_set", "sizes": [1], "memory": memory}
    kmd.certify(defence, images, samples=2000, **options)
    before = peak()
    kmd.certify(defence, images, samples=samples, **options)
    print(peak() - before)


if __name__ == "__main__":
    main()
