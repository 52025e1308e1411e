"""Turns a trained classifier into a defended one and prints accuracies on the way.

A vote around a classifier that was trained without masks loses most of its accuracy.
The classifier must be trained further under masks. This script trains a LeNet without
masks, wraps it in a vote, and continues the training under masks. After each step it
prints clean accuracy, accuracy under an attack on the base model, and accuracy under an
adaptive attack.

    python examples/defend_a_trained_model.py --epochs 20
"""

import argparse

import keras
import numpy as np

import keras_maskdef as kmd

EPSILON = 0.15


def compiled(model: keras.Model) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def report(step: str, model: keras.Model, classifier: keras.Model, test: tuple) -> None:
    """Prints accuracy: clean, attack on the base model, adaptive attack."""
    images, labels, _ = test
    target = kmd.attacks.expectation_over_masks(model, samples=8)
    attacked = (
        ("clean", images),
        (
            "on base model",
            kmd.attacks.craft("bim", classifier, images, labels, EPSILON),
        ),
        ("adaptive", kmd.attacks.craft("bim", target, images, labels, EPSILON)),
    )
    figures = [
        f"{name} {np.mean(model.predict(x, verbose=0).argmax(-1) == labels):.2f}"
        for name, x in attacked
    ]
    print(f"{step:<34}", *figures, f"({len(images)} images, Linf {EPSILON})", sep="  ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="epochs under masks")
    parser.add_argument("--images", type=int, default=100, help="test images to attack")
    parser.add_argument("--train", type=int, default=4000, help="training images")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    images, labels, _ = kmd.datasets.sample(f"train[:{options.train}]")
    test = kmd.datasets.sample(f"test[:{options.images}]")

    classifier = compiled(kmd.architectures.lenet())
    classifier.fit(images, labels, batch_size=64, epochs=5, verbose=0)
    report("trained without masks", classifier, classifier, test)

    mask = kmd.RandomGridMask(cell_size=7, mask_rate=0.75, sampling="partition")
    defended = kmd.VotingEnsemble(classifier, mask, votes=4, pooling="geometric")
    report("vote added, no further training", defended, classifier, test)

    compiled(defended)
    defended.fit(images, labels, batch_size=64, epochs=options.epochs, verbose=0)
    report("trained further under masks", defended, classifier, test)


if __name__ == "__main__":
    main()
