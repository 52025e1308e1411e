"""Certifies the first 1,000 digits of MNIST by every method that leaves no chance.

    maskdef train certified --epochs 40 --dataset mnist --data-dir DIR \
        --output digits.keras
    python benchmarks/certified_mnist.py digits.keras --data-dir DIR

The number of visible cells of the vote is chosen on other images, the next 500. The
results are one small JSON and a picture.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from rich.console import Console

import keras_maskdef as kmd
from keras_maskdef.reporting.certificate_curves import plot_certificates

VISIBLE = (3, 4, 5, 6)


def votes(vote):
    """The vote of masks that show so many of the 16 cells, by their number."""
    own = vote.mask.get_config()
    return {
        shown: kmd.RandomGridMask.from_config({**own, "mask_rate": 1 - shown / 16})
        for shown in VISIBLE
    }


def best(vote, choose):
    """The numbers of visible cells with the most certified images, for k = 1 and 2."""
    certified = {}
    for shown, mask in votes(vote).items():
        options = {"mask": mask, "threats": ["cells"], "sizes": [1, 2]}
        found = kmd.certify(vote, choose.images, choose.labels, **options)
        for size in (1, 2):
            figures = found["cells", size].figures(choose.labels)
            certified[size, shown] = figures["certified"]
    print(certified, flush=True)
    return {k: max(VISIBLE, key=lambda n: certified[k, n]) for k in (1, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data-dir")
    text = "cells of 16 for k = 1 and for k = 2, where they were chosen before"
    parser.add_argument("--visible", type=int, nargs=2, choices=VISIBLE, help=text)
    output = Path("benchmarks/results/certified-mnist.json")
    parser.add_argument("--output", type=Path, default=output)
    picture = Path("docs/images/certified-mnist.png")
    parser.add_argument("--picture", type=Path, default=picture)
    options = parser.parse_args()
    vote = kmd.loading.load_model(options.model)
    test = kmd.datasets.mnist("test[:1000]", options.data_dir)
    if options.visible:
        chosen = dict(zip((1, 2), options.visible, strict=True))
    else:
        chosen = best(vote, kmd.datasets.mnist("test[1000:1500]", options.data_dir))
    settings = {"double masking": {"method": "double_masking"}}
    masks = votes(vote)
    for k, shown in chosen.items():
        settings[f"exact, {shown} of 16 visible"] = {"mask": masks[shown]}
        print(f"k = {k}: {shown} visible cells", flush=True)
    found, results = {}, {}
    for name, each in settings.items():
        begin = time.perf_counter()
        found[name] = kmd.certify(vote, test.images, test.labels, **each)
        seconds = (time.perf_counter() - begin) / len(test.images)
        Console().print(name, found[name])
        results[name] = found[name].to_dict(per_image=False)
        results[name]["seconds_per_image"] = round(seconds, 4)
        options.output.write_text(json.dumps(results, indent=1) + "\n")
    plot_certificates(found, options.picture)


if __name__ == "__main__":
    main()
