"""Draws masks in many models and processes, and looks for two that are equal.

    KERAS_BACKEND=jax python tests/support/secret_masks.py --streams 4000

Each stream is one model in one process; its first masks of 49 cells are kept. By chance
none of them are equal. On TensorFlow, the search that found a seed of Keras' own from
one mask then tries all of them, on a mask with such a seed and on one without.
"""

import argparse
import copy
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numba
import numpy as np

import keras_maskdef as kmd

IMAGES = np.ones((1, 28, 28, 1), "float32")
MASKS, PROCESSES = 3, 4
BACKEND = keras.backend.backend()


def masker(seed=None):
    mask = kmd.RandomGridMask(4, 0.5, seed=seed)
    return keras.Sequential([keras.Input((28, 28, 1)), mask])


def drawn(call):
    """The first masks of a stream, as bytes."""
    masks = (keras.ops.convert_to_numpy(call(IMAGES)) for _ in range(MASKS))
    return [np.packbits(mask[0, ::4, ::4, 0] > 0).tobytes() for mask in masks]


def fresh(count):
    """Models of one process."""
    return [drawn(masker()) for _ in range(count)]


def copied(count):
    model = masker()
    copies = [copy.deepcopy, keras.models.clone_model]
    return [drawn(model)] + [drawn(copies[i % 2](model)) for i in range(count - 1)]


def loaded(count):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        masker().save(path)
        return [drawn(keras.saving.load_model(path)) for _ in range(count)]


def retraced(count):
    """One stream, compiled anew for every part of it."""
    model, streams = masker(), []
    for _ in range(count):
        model.predict_function = None
        streams.append(drawn(model.predict_on_batch))
    return streams


def exported(count):
    """Loads of one SavedModel."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        masker().export(folder, verbose=False)
        return [drawn(tf.saved_model.load(folder).serve) for _ in range(count)]


def forked(count):
    """Children that seed themselves alike, of a process that has drawn masks."""
    mask = kmd.RandomGridMask(4, 0.5)
    drawn(mask)
    return [_in_child("fork", _alike, mask) for _ in range(count)]


def spawned(count):
    """New processes, each with many models."""
    share = -(-count // PROCESSES)
    parts = [_in_child("spawn", fresh, share) for _ in range(PROCESSES)]
    return [stream for part in parts for stream in part]


def _alike(mask):
    keras.utils.set_random_seed(7)
    return drawn(mask)


def _in_child(method, function, argument):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=_send, args=(theirs, function, argument))
    child.start()
    theirs.close()
    result = ours.recv()
    child.join()
    return result


def _send(pipe, function, argument):
    pipe.send(function(argument))
    pipe.close()


# Shares of the streams. JAX hangs in forked children, and exports from TensorFlow.
WAYS = {
    fresh: 0.4,
    spawned: 0.3,
    copied: 0.1,
    loaded: 0.1,
    retraced: 0.02,
    **({exported: 0.02} if BACKEND == "tensorflow" else {}),
    **({forked: 0.06} if BACKEND != "jax" else {}),
}


@numba.njit
def _philox(counter, key):
    a, b, c, d = counter
    low, high = key
    for _ in range(10):
        first = np.uint64(0xD2511F53) * np.uint64(a)
        second = np.uint64(0xCD9E8D57) * np.uint64(c)
        a, b, c, d = (
            np.uint32(np.uint32(second >> np.uint64(32)) ^ b ^ low),
            np.uint32(second),
            np.uint32(np.uint32(first >> np.uint64(32)) ^ d ^ high),
            np.uint32(first),
        )
        low = np.uint32(low + np.uint32(0x9E3779B9))
        high = np.uint32(high + np.uint32(0xBB67AE85))
    return a, b, c, d


@numba.njit(parallel=True)
def search(visible, first, last):
    """The seed whose first mask on TensorFlow this is, or 0."""
    found = 0
    zero = np.uint32(0)
    for seed in numba.prange(first, last):
        mixed = _philox(
            (np.uint32(seed), zero, zero, zero),
            (np.uint32(0x3EC8F720), np.uint32(0x02461E29)),
        )
        same, block = True, np.uint32(0)
        while same and 4 * block < len(visible):
            lanes = _philox((block, zero, mixed[2], mixed[3]), (mixed[0], mixed[1]))
            for lane in range(4):
                place = 4 * block + lane
                if place < len(visible):
                    bit = (lanes[lane] >> np.uint32(22)) & np.uint32(1)
                    same = same and bit == visible[place]
            block = np.uint32(block + np.uint32(1))
        if same:
            found += seed
    return found


def searched():
    """What the search says of a mask with a seed of Keras', and of one without."""
    said = {}
    for name, seed in (("with a seed", 987_654_321), ("without", None)):
        mask = kmd.RandomGridMask(4, 0.5, seed=seed)
        cells = keras.ops.convert_to_numpy(mask.sample(IMAGES)).reshape(-1)
        began = time.perf_counter()
        found = search(cells.astype("uint8"), 0, 2**31 - 2)
        said[name] = found
        print(f"{name}: {found or 'nothing'}, {time.perf_counter() - began:.0f} s")
    return said == {"with a seed": 987_654_321, "without": 0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=4000)
    parser.add_argument("--search", action="store_true", help="two minutes")
    options = parser.parse_args()
    masks: Counter = Counter()
    total = 0
    for way, share in WAYS.items():
        streams = way(max(2, round(options.streams * share)))
        total += len(streams)
        for stream in streams:
            masks.update(stream)
        print(f"{BACKEND} {way.__name__}: {len(streams)} streams", flush=True)
    repeated = sum(masks.values()) - len(masks)
    print(f"{BACKEND}: {total} streams, {repeated} masks repeated", flush=True)
    held = not options.search or BACKEND != "tensorflow" or searched()
    return int(repeated > 0 or not held)


if __name__ == "__main__":
    sys.exit(main())
