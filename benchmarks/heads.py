"""Evaluates the same weights with four heads: logits or softmax, float32 or float16.

    python benchmarks/heads.py

Nothing but rounding differs between them, so no figure may differ by more than that:
two images of 200. A dense network on the sample of digits is trained for 25 epochs,
until it is sure of its answers; the masker for one pass. In float16 on a CPU, DeepFool
on a vote takes half an hour: `--all` has it there as well. The results are one small
JSON.
"""

import argparse
import json
import os
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_maskdef as kmd
from keras_maskdef.evaluation import AttackSetting
from keras_maskdef.evaluation.checks import RobustnessWarning

SHAPE, IMAGES, ALLOWED = (28, 28, 1), 200, 2
HEADS = {
    "logits, float32": (False, "float32"),
    "softmax, float32": (True, "float32"),
    "logits, float16": (False, "mixed_float16"),
    "softmax, float16": (True, "mixed_float16"),
}
# Fewer steps than by default, some of which take minutes in float16 on a CPU.
CW = {"steps": 40, "binary_search_steps": 2, "initial_const": 1.0, "step_size": 0.05}
ATTACKS = [
    AttackSetting("fgsm", "linf", 0.15),
    AttackSetting("bim", "linf", 0.15),
    AttackSetting("pgd", "linf", 0.15, options={"steps": 20}),
    AttackSetting("mim", "linf", 0.1),
    AttackSetting("cw", "l2", 1.5, options=CW),
    AttackSetting("deepfool", "l2", 1.5),
    AttackSetting("deepfool", "linf", 0.1),
    AttackSetting("apgd", "linf", 0.1, options={"steps": 15}),
    AttackSetting("square", "linf", 0.15, options={"steps": 150}),
]


def network():
    layers = [keras.layers.Dense(width, "relu") for width in (128, 64)]
    return keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), *layers, keras.layers.Dense(10)]
    )


def trained():
    """The weights of a classifier and of its masker."""
    keras.utils.set_random_seed(0)
    images, labels, _ = kmd.datasets.sample("train")
    classifier = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile("adam", loss)
    classifier.fit(images, labels, batch_size=64, epochs=25, verbose=0)
    masker = kmd.SparseFeatureMasker(kmd.architectures.attention_unet(SHAPE, (4, 8)))
    alternating = kmd.AlternatingTraining(
        masker, images[:640], preprocessing=kmd.MedianFilter(2)
    )
    weights = classifier.get_weights()
    classifier.compile(keras.optimizers.SGD(0.0), loss)
    classifier.fit(images, labels, epochs=1, callbacks=[alternating], verbose=0)
    return weights, masker


def with_head(weights, softmax, dtype):
    """A classifier of these weights."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        classifier = network()
        if softmax:
            layers = [keras.Input(SHAPE), classifier, keras.layers.Softmax()]
            classifier = keras.Sequential(layers)
    finally:
        keras.config.set_dtype_policy(before)
    classifier.set_weights(weights)
    return classifier


def defended(classifier, masker):
    half = kmd.RandomGridMask(7, 0.5)
    partition = kmd.RandomGridMask(7, 0.5, sampling="partition")
    return {
        "paper's vote": kmd.VotingEnsemble(classifier, half, votes=3),
        "partition vote": kmd.VotingEnsemble(
            classifier, partition, votes=2, pooling="geometric"
        ),
        "SFM-Defense": kmd.defend(classifier, masker, filters=[kmd.MedianFilter(2)]),
    }


def evaluated(classifier, masker, images, attacks):
    """The right images by row and column."""
    bare = right({"bare": classifier}, images, ATTACKS)
    votes = right(defended(classifier, masker), images, attacks)
    return {title: {**bare[title], **votes.get(title, {})} for title in bare}


def right(defences, images, attacks):
    warnings.simplefilter("ignore", RobustnessWarning)
    report = kmd.evaluate(
        defences,
        kmd.datasets.sample(f"test[:{images}]"),
        attacks,
        threat_models=("white_box",),
        adaptive=[AttackSetting("pgd", "linf", 0.15, options={"steps": 10})],
        eot_samples=(4,),
        repeats=3,
        batch_size=images,
        sanity_checks=False,
    )
    return {
        row.title: {
            name: round(score.accuracy * images, 2)
            for name, score in row.scores.items()
            if score and name in defences
        }
        for row in report.rows
    }


def largest_difference(rows, expected):
    """By column: how many images two heads differ by at most, and in which row."""
    found = {}
    for title, scores in expected.items():
        for name, right in scores.items():
            difference = round(abs(rows[title][name] - right), 2)
            found[name] = max(found.get(name, (0.0, "")), (difference, title))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    output = Path("benchmarks/results/heads.json")
    parser.add_argument("--output", type=Path, default=output)
    parser.add_argument("--all", action="store_true", help="DeepFool on votes, too")
    options = parser.parse_args()
    quick = [attack for attack in ATTACKS if attack.name != "deepfool"]
    attacks = ATTACKS if options.all else quick
    weights, masker = trained()
    rows, differences = {}, {}
    for head, (softmax, dtype) in HEADS.items():
        classifier = with_head(weights, softmax, dtype)
        rows[head] = evaluated(classifier, masker, options.images, attacks)
        expected = rows["logits, float32"]
        differences[head] = largest_difference(rows[head], expected)
        print(head, differences[head], flush=True)
        results = {
            "images": options.images,
            "keras": keras.__version__,
            "right": rows,
            "largest_difference": differences,
        }
        options.output.write_text(json.dumps(results, indent=1) + "\n")
    worst = max(each[0] for head in differences.values() for each in head.values())
    if worst > ALLOWED:
        raise SystemExit(f"{worst} images of {options.images} differ")


if __name__ == "__main__":
    main()
