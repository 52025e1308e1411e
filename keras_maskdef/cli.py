"""The `maskdef` command: argument parsing and printing."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_maskdef import _certification_commands, _evaluation_commands
from keras_maskdef._argument_types import (
    count,
    epsilon,
    keras_file,
    positive,
    rate,
    width,
)
from keras_maskdef._version import __version__


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
    with _evaluation_commands.said_in_the_report(), progress_bars(console) as start:
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
    _settle(options)
    {"mad": _train_mad, "sfm": _train_sfm}[options.defence](options, console)


def _settle(options: argparse.Namespace) -> None:
    """Fills in the defaults of the chosen defence; refuses options of the other."""
    own = _OWN[options.defence]
    for defence, theirs in _OWN.items():
        for name in theirs.keys() - own.keys() & vars(options).keys():
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"`{flag}` is an option of `--defence {defence}`. Received: "
                f"defence={options.defence!r}, {name}={getattr(options, name)}"
            )
    for name, default in own.items():
        setattr(options, name, getattr(options, name, default))


def _train_mad(options: argparse.Namespace, console: Console) -> None:
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
    if "partition" in _VOTES[options.vote]:
        partition_mask(recipe)  # fails now, not after the training
    data = _load(options, console)
    with progress_bars(console) as start:
        masked = options.vote != "none"
        model, history = train(recipe, data, masked=masked, start=start)
    console.print(f"training accuracy of the last epoch: {history['accuracy'][-1]:.4f}")
    votes = {"paper": paper_vote, "partition": partition_vote}
    for name in _VOTES[options.vote]:
        saved, path = model, options.output
        if name in votes:
            saved = votes[name](model, recipe)
            saved.build((None, *data.images.shape[1:]))
        if len(_VOTES[options.vote]) > 1:
            path = path.with_stem(f"{path.stem}-{name}")
        saved.save(path)
        console.print(f"wrote {path}")


def _train_sfm(options: argparse.Namespace, console: Console) -> None:
    import keras

    from keras_maskdef._extra import require
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes import sfm_defence
    from keras_maskdef.recipes.sfm import SfmRecipe

    keras.utils.set_random_seed(options.seed)
    recipe = SfmRecipe(
        options.dataset,
        options.architecture,
        options.width,
        median=options.median,
        rho=options.rho,
        train_on=options.train_on,
        pretraining_epochs=options.pretraining_epochs,
        epochs=options.epochs,
        images=None,
    )
    if options.pictures:  # fails now, not after the training
        require("matplotlib", "plots")
        options.pictures.mkdir(parents=True, exist_ok=True)
    data, held_out = (
        _load(options, console),
        _load(options, console, _held_out(options)),
    )
    sfm_defence.check_recipe(recipe, data.images.shape[1:])
    with progress_bars(console) as start:
        defence = sfm_defence.train_defence(recipe, data, held_out, options.seed, start)
    defence.model.save(options.output)
    last = {name: values[-1] for name, values in defence.history.items()}
    console.print(
        f"last epoch: density of the mask {last['masker_density']:.4f}, "
        f"agreement {last['masker_agreement']:.4f}"
    )
    for name, seen in (("training", data), ("held-out", held_out)):
        right = sfm_defence.accuracy(defence.model, seen)
        count = len(seen.images)
        console.print(f"accuracy of the defended model: {right:.4f} ({count} {name})")
    console.print(f"wrote {options.output}")
    if options.pictures:
        paths = sfm_defence.save_pictures(defence, recipe, held_out, options.pictures)
        for path in paths:
            console.print(f"wrote {path}")


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    _evaluation_commands.evaluate(options, console, _load_test(options, console))


def _certify(options: argparse.Namespace, console: Console) -> None:
    _certification_commands.certify(options, console, _load_test(options, console))


def _load(options: argparse.Namespace, console: Console, split: str = "train") -> Any:
    from keras_maskdef import datasets

    with console.status(f"reading {options.dataset}, {split}"):
        return datasets.load(options.dataset, split, options.data_dir, options.download)


def _load_test(options: argparse.Namespace, console: Console) -> Any:
    return _load(options, console, f"{_held_out(options)}[:{options.images}]")


def _held_out(options: argparse.Namespace) -> str:
    # Tiny-ImageNet's own test images have no labels.
    return "validation" if options.dataset.startswith("tiny_imagenet") else "test"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskdef", description="Mask-based adversarial defence for Keras."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = _command(commands, "demo", _demo, "attack digits, and win them back")
    _images(demo)
    demo.add_argument("--epochs", type=count, default=40, help="under masks")
    demo.add_argument("--output", type=Path, default=Path("demo-output"))

    _train_options(_command(commands, "train", _train, "train a defended classifier"))

    evaluate = _command(commands, "evaluate", _evaluate, "attack saved models")
    _evaluation_commands.add_evaluate(evaluate)
    certify = _command(
        commands, "certify", _certify, "prove what no change of a few cells can do"
    )
    _certification_commands.add_certify(certify)
    for name, run, add, summary in (
        (
            "merge",
            _evaluation_commands.merge,
            _evaluation_commands.add_merge,
            "put the parts of an evaluation together",
        ),
        (
            "report",
            _evaluation_commands.report,
            _evaluation_commands.add_report,
            "make a page and pictures of an evaluation",
        ),
    ):
        add(_bare_command(commands, name, run, summary))
    return parser


def _train_options(train: Any) -> None:
    train.add_argument("--defence", choices=tuple(_OWN), default="mad")
    train.add_argument("--architecture", choices=_ARCHITECTURES, default="lenet")
    train.add_argument("--output", type=keras_file, required=True)
    _own(train, "--epochs", "of the classifier under its masks", type=count)

    mad = train.add_argument_group("with --defence mad: random masks and a vote")
    _own(mad, "--cell-size", "in pixels", type=count)
    _own(mad, "--mask-rate", "fraction of cells hidden", type=rate)
    text = (
        "the vote to save around it, or both in files of their own; with none it is "
        "trained without masks"
    )
    _own(mad, "--vote", text, choices=tuple(_VOTES))

    sfm = train.add_argument_group("with --defence sfm: a learned masker and a filter")
    _own(sfm, "--pretraining-epochs", "without the masker, before", type=count)
    text = "of an architecture that comes in several; the architecture has a default"
    _own(sfm, "--width", text, type=width)
    text = "the larger, the sparser the mask; below 1 it keeps everything"
    _own(sfm, "--rho", text, type=positive)
    text = "what the classifier sees in training"
    _own(sfm, "--train-on", text, choices=("filtered", "masked"))
    text = "side of the median filter in pixels"
    _own(sfm, "--median", text, type=int, choices=range(2, 8))
    text = "folder for masks.png and alternation.png; needs matplotlib"
    _own(sfm, "--pictures", text, type=Path)


_VOTES = {
    "partition": ("partition",),
    "paper": ("paper",),
    "both": ("paper", "partition"),
    "none": ("none",),
}
# What not every defence takes, or not with the same default.
_OWN: dict[str, dict[str, Any]] = {
    "mad": {"epochs": 20, "cell_size": 7, "mask_rate": 0.75, "vote": "partition"},
    "sfm": {
        "epochs": 8,
        "pretraining_epochs": 4,
        "width": None,
        "rho": 1.15,
        "train_on": "masked",
        "median": 2,
        "pictures": None,
    },
}


def _own(parser: Any, flag: str, text: str, **options: Any) -> None:
    """An option that is absent unless given; `_settle` knows its default."""
    key = flag.removeprefix("--").replace("-", "_")
    known = {name: own[key] for name, own in _OWN.items() if key in own}
    defaults = [
        f"{value} with {name}" if len(known) > 1 else str(value)
        for name, value in known.items()
        if value is not None
    ]
    if defaults:
        text = f"{text} (default: {', '.join(defaults)})"
    parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **options)


_ARCHITECTURES = ("convnet", "lenet", "resnet18", "resnet50", "vgg16")


def _bare_command(commands: Any, name: str, run: Any, summary: str) -> Any:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> Any:
    """A command on the images of a data set."""
    parser = _bare_command(commands, name, run, summary)
    parser.add_argument("--dataset", default="sample", help="a name of datasets")
    parser.add_argument("--data-dir", help="where the data set is")
    parser.add_argument("--download", action="store_true", help="fetch what is missing")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=count, default=200, help="to attack")
    parser.add_argument("--epsilon", type=epsilon, default=0.15, help="Linf, in [0, 1]")
