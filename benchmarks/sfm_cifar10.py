"""Trains and attacks SFM-Defense on CIFAR-10, several seeds; hours, so by hand.

    python benchmarks/sfm_cifar10.py --data-dir DIR --seeds 0 1 2

What is trained is kept in the working folder and not trained again, so that a run that
was stopped goes on where it was. The results are one small JSON.
"""

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from keras_maskdef import datasets
from keras_maskdef.papers import sfm_report
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.papers.model_cache import ModelCache
from keras_maskdef.papers.network import Network

SWEEP = (1.15, 1.03, 1.3)
CONVNET = Network("cifar10", "convnet", width=16, epochs=4, schedule="cosine")
ALTERNATION = Alternation(CONVNET, rho=1.07, epochs=8, images=20_000)


def run_seed(alternation, seed, models, test, folder):
    network = replace(alternation.network, seed=seed)
    alternation = replace(alternation, network=network, seed=seed)
    made = models(alternation)
    filtered = models(replace(alternation, masker=False)).classifier
    print(f"{alternation.title}: {summary(made.history)}", flush=True)
    columns = sfm_report.columns(
        models(network), filtered, made.classifier, made.masker, alternation.median
    )
    if alternation.train_on == "filtered":  # the other columns are as before
        columns = {name: columns[name] for name in (sfm_report.SAME, sfm_report.SFM)}
    path = folder / f"report-{models.folder(alternation).name}-{len(test.images)}.json"
    if not path.exists():
        sfm_report.measure(columns, test, seed).save(path)
    report = json.loads(path.read_text())
    for row in report["rows"]:
        scores = {n: s["accuracy"] for n, s in row["scores"].items()}
        print(f"  {row['attack']:<28}{scores}", flush=True)
    return {"history": made.history, **report}


def summary(history):
    return {
        name: [round(value, 3) for value in history[name]]
        for name in ("masker_density", "val_defended_accuracy")
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks/sfm-cifar10"))
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/sfm-cifar10.json")
    )
    options = parser.parse_args()

    def load(name, part):
        split = "train" if part == "train" else "test"
        return datasets.load(name, split, options.data_dir)

    models = ModelCache(load, options.folder)
    test = models.data("cifar10", "held out", options.images)
    results = {"recipe": asdict(ALTERNATION)}
    for train_on in ("masked", "filtered"):
        alternation = replace(ALTERNATION, train_on=train_on)
        runs = results[train_on] = {}
        for seed in options.seeds:
            runs[seed] = run_seed(alternation, seed, models, test, options.folder)
            options.output.write_text(json.dumps(results, indent=1) + "\n")
        if train_on == "masked":  # Figure 3 in small
            first = options.seeds[0]
            results["sweep"] = {alternation.rho: runs[first]}
            for rho in SWEEP:
                swept = replace(alternation, rho=rho)
                made = run_seed(swept, first, models, test, options.folder)
                results["sweep"][rho] = made
                options.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
