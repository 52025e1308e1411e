"""SFM-Defense on digits: trains a masker in turn with a classifier, then attacks both.

Trains a small classifier for two epochs, then continues with a masker in the callbacks
of an ordinary `fit`. Joins masker, filter and classifier, and prints the accuracy under
attackers with increasing knowledge. Writes two pictures: the pixels that the masker
keeps, and the course of the training. Takes about two minutes on two cores:

    python examples/train_a_masker.py --epochs 6

    the mask keeps 0.45 of the pixels
    clean                           base model 0.95  defended 0.97
    attack on the base model        base model 0.00  defended 0.76
    gray box: knows the masker too  base model 0.00  defended 0.57
    adaptive: knows everything      base model 0.25  defended 0.08
    (100 images, PGD Linf 0.15)

Quote the last row. It counts an image only if it withstands two attacks: one through
the filter's exact gradient, and one that takes the filter for the identity. The second
attack alone leaves the defended model 0.40.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_maskdef as kmd
from keras_maskdef.reporting.pictures import plot_alternation, plot_masks

EPSILON = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6, help="epochs with the masker")
    parser.add_argument("--images", type=int, default=100, help="test images to attack")
    parser.add_argument("--pictures", type=Path, help="folder (default: a new one)")
    parser.add_argument("--train", type=int, default=4000, help="training images")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    images, labels, _ = kmd.datasets.sample(f"train[:{options.train}]")
    x, y, _ = kmd.datasets.sample(f"test[:{options.images}]")

    classifier = kmd.architectures.convnet((28, 28, 1), width=8)
    classifier.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    classifier.fit(images, labels, batch_size=64, epochs=2, verbose=0)

    network = kmd.architectures.attention_unet((28, 28, 1), widths=(8, 16, 32))
    masker, median = kmd.SparseFeatureMasker(network), kmd.MedianFilter(2)
    alternating = kmd.AlternatingTraining(
        masker,
        images,
        preprocessing=median,
        train_on="masked",
        validation_data=(x, y),
        optimizer=keras.optimizers.Adam(3e-3),
    )
    history = classifier.fit(
        images,
        labels,
        batch_size=64,
        epochs=options.epochs,
        callbacks=[alternating],
        verbose=0,
    ).history
    print(f"the mask keeps {history['masker_density'][-1]:.2f} of the pixels")

    defended = kmd.defend(classifier, masker, filters=[median])
    exact = [kmd.MedianFilter(2, gradient="exact")]
    attacked = {
        "clean": [x],
        "attack on the base model": [craft(classifier, x, y)],
        "gray box: knows the masker too": [craft(kmd.defend(classifier, masker), x, y)],
        "adaptive: knows everything": [
            craft(defended, x, y),
            craft(kmd.defend(classifier, masker, filters=exact), x, y),
        ],
    }
    for name, inputs in attacked.items():
        base, safer = (withstands(model, inputs, y) for model in (classifier, defended))
        print(f"{name:<32}base model {base:.2f}  defended {safer:.2f}")
    print(f"({len(x)} images, PGD Linf {EPSILON})")

    folder = options.pictures or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    plot_masks(masker, median, x[:8], folder / "masks.png")
    plot_alternation(history, folder / "alternation.png")
    print(f"wrote masks.png and alternation.png into {folder}")


def craft(model: keras.Model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return kmd.attacks.craft("pgd", model, x, y, EPSILON)


def withstands(model: keras.Model, inputs: list[np.ndarray], y: np.ndarray) -> float:
    """The fraction of images that the model classifies correctly under all attacks."""
    right = [model.predict(x, verbose=0).argmax(-1) == y for x in inputs]
    return float(np.mean(np.all(right, axis=0)))


if __name__ == "__main__":
    main()
