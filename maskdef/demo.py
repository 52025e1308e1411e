"""`maskdef demo`: attacks digits, with and without a defence."""

import argparse
from pathlib import Path
from typing import Any

from maskdef.options import add_data, count, epsilon


def add_options(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    parser.add_argument("--images", type=count, default=200, help="images to attack")
    parser.add_argument("--epsilon", type=epsilon, default=0.15, help="Linf, in (0, 1]")
    parser.add_argument(
        "--epochs", type=count, default=40, help="training epochs under masks"
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"))


def run(options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef import datasets
    from keras_maskdef.core.progress import progress_bars, say
    from keras_maskdef.datasets.sources import first, held_out, to_train_on
    from keras_maskdef.papers.demo import run_demo, save_demo
    from maskdef.data import load
    from maskdef.output import without_robustness_warnings

    source = datasets.find(options.dataset, options.data_dir, options.download)
    training = load(options, console, to_train_on(source))
    test = load(options, console, first(source, held_out(source), options.images))
    with without_robustness_warnings(), progress_bars(console) as start:
        demo = run_demo(
            training,
            test,
            epsilon=options.epsilon,
            epochs=options.epochs,
            seed=options.seed,
            start=start,
        )
    console.print(demo.report)
    for path in save_demo(demo, options.output):
        say(console, f"wrote {path}")
