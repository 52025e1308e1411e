"""Trains and attacks SFM-Defense on CIFAR-10, several seeds; hours, so by hand.

    python benchmarks/sfm_cifar10.py --data-dir DIR --seeds 0 1 2

Every stage is kept in the working folder and not made again, so that a run that was
stopped goes on where it was. The results are one small JSON.
"""

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from keras_maskdef import datasets
from keras_maskdef.recipes import sfm, sfm_report

SWEEP = (1.15, 1.03, 1.3)


def kept(path: Path, make):
    """A model from its file, or made and saved."""
    if not path.exists():
        made = make()
        unfinished = path.with_suffix(".new.keras")
        made.save(unfinished)
        unfinished.replace(path)
    return keras.saving.load_model(path)


def trained(recipe, seed, pretrained, train, validation, folder, name):
    """Classifier, masker and history of one alternation."""
    history = folder / f"{name}.json"
    pair = folder / f"{name}.keras"

    def make():
        keras.utils.set_random_seed(seed)
        classifier = keras.saving.load_model(pretrained)
        masker, logged = sfm.alternate(recipe, classifier, train, validation, seed)
        history.write_text(json.dumps(logged))
        inputs = keras.Input(classifier.input_shape[1:])
        return keras.Model(inputs, classifier(masker(inputs)))

    model = kept(pair, make)
    return model.layers[2], model.layers[1], json.loads(history.read_text())


def report_of(path, make):
    if not path.exists():
        make().save(path)
    return json.loads(path.read_text())


def run_seed(recipe, seed, train, validation, test, folder):
    pretrained = folder / f"pretrained-{seed}.keras"

    def pretrain():
        keras.utils.set_random_seed(seed)
        return sfm.pretrain(recipe, train, seed)

    def filter_alone():
        keras.utils.set_random_seed(seed)
        classifier = keras.saving.load_model(pretrained)
        sfm.filter_alone(recipe, classifier, train, seed)
        return classifier

    plain = kept(pretrained, pretrain)
    print(f"seed {seed}: pretrained", flush=True)
    filtered = kept(folder / f"filter-alone-{seed}.keras", filter_alone)
    name = f"{recipe.train_on}-{recipe.rho}-{seed}"
    classifier, masker, history = trained(
        recipe, seed, pretrained, train, validation, folder, name
    )
    print(
        f"seed {seed}: {recipe.train_on}, rho {recipe.rho}, {summary(history)}",
        flush=True,
    )
    models = sfm_report.columns(plain, filtered, classifier, masker, recipe.median)
    if recipe.train_on == "filtered":  # the other columns are the same as before
        models = {name: models[name] for name in (sfm_report.SAME, sfm_report.SFM)}
    report = report_of(
        folder / f"report-{name}.json", lambda: sfm_report.measure(models, test, seed)
    )
    for row in report["rows"]:
        scores = {n: s["accuracy"] for n, s in row["scores"].items()}
        print(f"  {row['attack']:<28}{scores}", flush=True)
    return {"history": history, **report}


def check_folder(folder, recipe, images):
    """Refuses stages that another recipe left, whatever is varied here."""
    fixed = {
        **asdict(recipe),
        "rho": None,
        "train_on": None,
        "images_to_attack": images,
    }
    fixed = json.loads(json.dumps(fixed))
    path = folder / "recipe.json"
    if path.exists() and json.loads(path.read_text()) != fixed:
        raise SystemExit(f"{folder} holds stages of another recipe: {path}")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fixed))


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
    recipe = sfm.CIFAR10_CONVNET
    check_folder(options.folder, recipe, options.images)

    def load(split):
        return datasets.load(recipe.dataset, split, options.data_dir)

    train, test = load("train"), load(f"test[:{options.images}]")
    validation = load("test[-1000:]")
    results = {"recipe": asdict(recipe)}
    arguments = (train, validation, test, options.folder)
    for train_on in ("masked", "filtered"):
        runs = results[train_on] = {}
        for seed in options.seeds:
            runs[seed] = run_seed(replace(recipe, train_on=train_on), seed, *arguments)
            options.output.write_text(json.dumps(results, indent=1) + "\n")
        if train_on == "masked":  # Figure 3 in small
            results["sweep"] = {recipe.rho: runs[options.seeds[0]]}
            for rho in SWEEP:
                swept = replace(recipe, rho=rho)
                results["sweep"][rho] = run_seed(swept, options.seeds[0], *arguments)
                options.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
