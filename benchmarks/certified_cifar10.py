"""Trains a VGG16 of width 0.25 on CIFAR-10 to be certified; an hour, so by hand.

    python benchmarks/certified_cifar10.py --data-dir DIR

The training is kept in the working folder, epoch by epoch, and goes on where it was
stopped; so do the certificates. The results are one small JSON.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from rich.console import Console

import keras_maskdef as kmd

CELL, BATCH, EPOCHS = 8, 128, 30
# Shares of cells hidden in training, drawn for each image.
RATES = (0.0, 0.4)
# What is certified: double masking, and the vote of all masks that show four cells.
METHODS = {
    "double_masking": {"sizes": {"cells": [1], "patch": range(1, 10)}},
    "exact": {},
}


def batches(data):
    """Shifted by up to four pixels and flipped; masks come last, in the model."""

    def shift_and_flip(image, label):
        padded = tf.pad(image, [[4, 4], [4, 4], [0, 0]])
        cropped = tf.image.random_crop(padded, image.shape)
        return tf.image.random_flip_left_right(cropped), label

    images = tf.data.Dataset.from_tensor_slices((data.images, data.labels))
    shuffled = images.shuffle(len(data.images))
    moved = shuffled.map(shift_and_flip, num_parallel_calls=tf.data.AUTOTUNE)
    return moved.batch(BATCH, drop_remainder=True).prefetch(4)


def build():
    classifier = kmd.architectures.vgg16((32, 32, 3), width=0.25)
    vote = kmd.VotingEnsemble(
        classifier,
        kmd.RandomGridMask(CELL, 0.75, sampling="fixed_count"),
        train_mask=kmd.RandomGridMask(CELL, RATES),
    )
    vote.build((None, 32, 32, 3))
    return vote


def train(vote, data, folder):
    steps = EPOCHS * (len(data.images) // BATCH)
    warm = steps // 10
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm, warmup_target=0.1, warmup_steps=warm
    )
    vote.compile(
        keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    backup = keras.callbacks.BackupAndRestore(folder / "backup")
    log = keras.callbacks.CSVLogger(folder / "training.csv", append=True)
    vote.fit(batches(data), epochs=EPOCHS, verbose=2, callbacks=[backup, log])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--weights", type=Path, help="instead of training")
    folder = Path(".benchmarks/certified-cifar10")
    parser.add_argument("--folder", type=Path, default=folder)
    output = Path("benchmarks/results/certified-cifar10.json")
    parser.add_argument("--output", type=Path, default=output)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    vote, weights = build(), options.folder / "classifier.weights.h5"
    if options.weights:
        vote.classifier.load_weights(options.weights)
    elif weights.exists():
        vote.classifier.load_weights(weights)
    else:
        train(vote, kmd.datasets.cifar10("train", options.data_dir), options.folder)
        vote.classifier.save_weights(weights)
    test = kmd.datasets.cifar10(f"test[:{options.images}]", options.data_dir)
    results = {"epochs": EPOCHS, "train_rates": RATES}
    for method, sizes in METHODS.items():
        found = kmd.certify(
            vote,
            test.images,
            test.labels,
            method,
            **sizes,
            folder=options.folder / method,
            resume=True,
        )
        Console().print(found)
        results[method] = found.to_dict(per_image=False)
        options.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
