"""The `maskdef` command: argument parsing and printing."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_maskdef._version import __version__

ATTACKS = ("fgsm", "bim", "pgd", "deepfool")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status, 2 where the user can mend it."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        options.run(options, console)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"maskdef: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskdef: stopped", file=sys.stderr)
        return 130
    return 0


def _demo(options: argparse.Namespace, console: Console) -> None:
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes.demo import run_demo, save_demo

    training, test = _load(options, console), _load_test(options, console)
    with progress_bars(console) as start:
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
        console.print(f"wrote {path}")


def _train(options: argparse.Namespace, console: Console) -> None:
    import keras

    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes.mad import Recipe
    from keras_maskdef.recipes.training import (
        paper_vote,
        partition_mask,
        partition_vote,
        train,
    )

    keras.utils.set_random_seed(options.seed)
    recipe = Recipe(
        options.dataset,
        options.architecture,
        options.cell_size,
        options.mask_rate,
        epochs=options.epochs,
    )
    if options.vote == "partition":
        partition_mask(recipe)  # fails now, not after the training
    data = _load(options, console)
    with progress_bars(console) as start:
        masked = options.vote != "none"
        model, history = train(recipe, data, masked=masked, start=start)
    if masked:
        vote = {"paper": paper_vote, "partition": partition_vote}[options.vote]
        model = vote(model, recipe)
        model.build((None, *data.images.shape[1:]))
    model.save(options.output)
    console.print(f"training accuracy of the last epoch: {history['accuracy'][-1]:.4f}")
    console.print(f"wrote {options.output}")


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    import keras

    from keras_maskdef._progress import progress_bars
    from keras_maskdef.evaluation.evaluate import AttackSetting, evaluate
    from keras_maskdef.layers._structure import bare_classifier

    keras.utils.set_random_seed(options.seed)
    model = keras.saving.load_model(options.model)
    test = _load_test(options, console)
    defences = {options.model.stem: model}
    bare = bare_classifier(model)
    if bare is not model:
        defences = {"its bare classifier": bare, **defences}
    settings = [
        AttackSetting(name, "linf", options.epsilon) for name in options.attacks
    ]
    with progress_bars(console) as start:
        report, _ = evaluate(
            defences,
            test.images,
            test.labels,
            settings,
            adaptive=AttackSetting("pgd", "linf", options.epsilon),
            seed=options.seed,
            start=start,
        )
    console.print(report)
    if options.output:
        report.save(options.output)
        console.print(f"wrote {options.output}")


def _load(options: argparse.Namespace, console: Console, split: str = "train") -> Any:
    from keras_maskdef import datasets

    with console.status(f"reading {options.dataset}, {split}"):
        return datasets.load(options.dataset, split, options.data_dir, options.download)


def _load_test(options: argparse.Namespace, console: Console) -> Any:
    # Tiny-ImageNet's own test images have no labels.
    tiny = options.dataset.startswith("tiny_imagenet")
    split = f"{'validation' if tiny else 'test'}[:{options.images}]"
    return _load(options, console, split)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskdef", description="Mask-based adversarial defence for Keras."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = _command(commands, "demo", _demo, "attack digits, and win them back")
    _images(demo)
    demo.add_argument("--epochs", type=_count, default=40, help="under masks")
    demo.add_argument("--output", type=Path, default=Path("demo-output"))

    train = _command(commands, "train", _train, "train a classifier under masks")
    train.add_argument("--architecture", choices=_ARCHITECTURES, default="lenet")
    train.add_argument("--cell-size", type=_count, default=7, help="in pixels")
    train.add_argument("--mask-rate", type=_rate, default=0.75)
    train.add_argument("--epochs", type=_count, default=20)
    train.add_argument(
        "--vote",
        choices=("partition", "paper", "none"),
        default="partition",
        help="the vote to save around it; with none it is trained without masks",
    )
    train.add_argument("--output", type=_keras_file, required=True)

    evaluate = _command(commands, "evaluate", _evaluate, "attack a saved model")
    evaluate.add_argument("model", type=Path, help="a .keras file")
    _images(evaluate)
    evaluate.add_argument("--attacks", nargs="+", choices=ATTACKS, default=ATTACKS)
    evaluate.add_argument("--output", type=Path, help="JSON file")
    return parser


_ARCHITECTURES = ("lenet", "resnet18", "resnet50", "vgg16")


def _command(commands: Any, name: str, run: Any, summary: str) -> Any:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--dataset", default="sample", help="a name of datasets")
    parser.add_argument("--data-dir", help="where the data set is")
    parser.add_argument("--download", action="store_true", help="fetch what is missing")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=_count, default=200, help="to attack")
    parser.add_argument(
        "--epsilon", type=_epsilon, default=0.15, help="Linf, in [0, 1]"
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {text}")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be in [0, 1), received {text}")
    return value


def _epsilon(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be in (0, 1], received {text}")
    return value


def _keras_file(text: str) -> Path:
    if not text.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"must end in .keras, received {text}")
    return Path(text)
