"""The memory of a process after many calls; started by hand, and by pytest -m slow.

    python tests/support/memory_of_calls.py craft --calls 300

It prints the resident memory after every 20 calls, and fails where it ends more than 50
MiB above the first of them. Linux only.

Each model is new, under the names of the first: TensorFlow keeps a kernel for each name
that a variable ever had, 10 KiB, so that even `lenet()` alone would be 0.2 MiB a call.
"""

import argparse
import ctypes
import gc
import logging
import os
import sys
from pathlib import Path

import keras
import numpy as np

import keras_maskdef as kmd
from keras_maskdef.evaluation import AttackSetting, Defence

WARM, MOST = 20, 50
IMAGES, LABELS, _ = kmd.datasets.sample("test[:4]")
FGSM = AttackSetting("fgsm", "linf", 0.1)
ADAPTIVE = AttackSetting("pgd", "linf", 0.1, None, {"steps": 2})
FIRST = kmd.architectures.lenet()


def lenet():
    return keras.models.clone_model(FIRST)


def evaluated(defence):
    options = {"adaptive": [ADAPTIVE], "eot_samples": (1, 2), "repeats": 1}
    kmd.evaluate(defence, (IMAGES, LABELS), [FGSM], **options)


def craft():
    kmd.attacks.craft("pgd", lenet(), IMAGES, LABELS, 0.1, steps=2)


def defended(classifier):
    mask = kmd.RandomGridMask(7, 0.5)
    return kmd.defend(classifier, filters=[kmd.MedianFilter(2)], voting=mask)


def evaluate():
    evaluated(defended(lenet()))


def evaluate_behind():
    evaluated(Defence.behind(np.round, lenet()))


ONE = defended(FIRST)


def evaluate_one():
    evaluated(ONE)


def certify():
    mask = kmd.RandomGridMask(14, 0.75, sampling="fixed_count")
    kmd.certify(lenet(), IMAGES, LABELS, mask=mask)


def predict():
    kmd.predict(defended(lenet()), IMAGES)


def trace_filters():
    import tensorflow as tf

    filters = [kmd.MedianFilter(3, gradient="exact"), kmd.NonLocalMeans(4, 3, 5)]
    model = kmd.defend(lenet(), filters=filters)

    @tf.function
    def gradient(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=False)
        return tape.gradient(outputs, images)

    gradient(tf.constant(IMAGES))


CALLS = {
    call.__name__: call
    for call in (
        craft,
        evaluate,
        evaluate_behind,
        evaluate_one,
        certify,
        predict,
        trace_filters,
    )
}


def resident():
    """MiB, without what Python and the allocator would let go by themselves."""
    for _ in range(3):
        gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("call", choices=CALLS)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # of retracing
    first = 0.0
    for number in range(1, options.calls + 1):
        CALLS[options.call]()
        if number % WARM == 0:
            now = resident()
            first = first or now
            print(f"{number} calls of {options.call}: {now:.0f} MiB", flush=True)
    return int(now - first > MOST)


if __name__ == "__main__":
    sys.exit(main())
