"""Measures defences of another library and of this one under the same attacks.

Feature squeezing and spatial smoothing of the Adversarial Robustness Toolbox (ART) are
NumPy functions without gradients. `Defence.behind` attacks them with BPDA, which takes
them for the identity in the backward pass. The script first trains a digit classifier
for about a minute.

    python examples/measure_other_defences.py --images 200
"""

import argparse

import keras
from art.defences.preprocessor import FeatureSqueezing, SpatialSmoothing
from rich.console import Console

import keras_maskdef as kmd
from keras_maskdef.core.progress import progress_bars
from keras_maskdef.evaluation import AttackSetting, Defence, evaluate

EPSILON = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="test images to attack")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--output", help="run folder, for `maskdef report`")
    parser.add_argument("--train", type=int, default=4000, help="training images")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    images, labels, _ = kmd.datasets.sample(f"train[:{options.train}]")
    classifier = kmd.architectures.lenet()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile("adam", loss)
    classifier.fit(images, labels, epochs=options.epochs, batch_size=64, verbose=0)

    squeezing = FeatureSqueezing(clip_values=(0, 1), bit_depth=1)
    smoothing = SpatialSmoothing(window_size=3, clip_values=(0, 1))
    defences = {
        "ART squeezing": Defence.behind(lambda x: squeezing(x)[0], classifier),
        "ART smoothing": Defence.behind(lambda x: smoothing(x)[0], classifier),
        "BitDepthReduction": kmd.defend(classifier, filters=kmd.BitDepthReduction(1)),
        "MedianFilter": kmd.defend(classifier, filters=kmd.MedianFilter(3)),
    }
    console = Console()
    with progress_bars(console) as start:
        report = evaluate(
            defences,
            kmd.datasets.sample(f"test[:{options.images}]"),
            [AttackSetting(name, "linf", EPSILON) for name in ("fgsm", "pgd")],
            folder=options.output,
            start=start,
        )
    console.print(report)
    console.print(f"{options.images} images, Linf {EPSILON}")


if __name__ == "__main__":
    main()
