"""`maskdef train`: argument parsing and printing."""

import argparse
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from keras_maskdef._argument_types import count, keras_file, positive, rate, width
from keras_maskdef._data_options import add_own_data
from keras_maskdef._progress import say

Load = Callable[..., Any]


def train(options: argparse.Namespace, console: Console, load: Load) -> None:
    """Trains the defence that was asked for, and saves it."""
    if options.output is None:
        raise ValueError(
            "`--output` must say where to save, unless `--recipe` says what is "
            "trained. Received: output=None"
        )
    _settle(options)
    splits = _splits(options)
    run = {"mad": _train_mad, "sfm": _train_sfm, "certified": _train_certified}
    run[options.defence](options, console, partial(_loaded, load, splits))


class _Splits(NamedTuple):
    """The splits to train on and to look at the result on.

    Args:
        training: Without `held_out`, where that is needed.
        all_of_it: With all images that may be trained on.
        held_out: Of a data set that is not divided, a tenth.
    """

    training: str
    all_of_it: str
    held_out: str


def _splits(options: argparse.Namespace) -> _Splits:
    from keras_maskdef import datasets
    from keras_maskdef.datasets._sources import held_out, to_train_on

    source = datasets.find(options.dataset, options.data_dir, options.download)
    split = options.split or to_train_on(source)
    if len(source.parts) > 1:
        return _Splits(split, split, held_out(source))
    (whole,) = source.parts
    if options.split and options.defence == "sfm":
        raise ValueError(
            "`--split` must be left out for a data set that is not divided: a tenth of "
            f"it is held out. Received: split={options.split!r}"
        )
    tenth = max((source.count(whole) or 0) // 10, 1)
    return _Splits(f"{whole}[:-{tenth}]", split, f"{whole}[-{tenth}:]")


def _loaded(load: Load, splits: _Splits, what: str = "all_of_it") -> Any:
    return load(getattr(splits, what))


def _settle(options: argparse.Namespace) -> None:
    """Fills in the defaults of the chosen defence; refuses options of the other."""
    own = _OWN[options.defence]
    known = {name for theirs in _OWN.values() for name in theirs}
    for name in sorted((known - own.keys()) & vars(options).keys()):
        flag = f"--{name.replace('_', '-')}"
        those = " or ".join(each for each, theirs in _OWN.items() if name in theirs)
        raise ValueError(
            f"`{flag}` is an option of `--defence {those}`. Received: "
            f"defence={options.defence!r}, {name}={getattr(options, name)}"
        )
    for name, default in own.items():
        setattr(options, name, getattr(options, name, default))


def _train_mad(options: argparse.Namespace, console: Console, load: Load) -> None:
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes.defences import Vote, partition
    from keras_maskdef.recipes.mask_setting import MaskSetting
    from keras_maskdef.recipes.training import train

    mask = MaskSetting(options.cell_size, options.mask_rate)
    network = _network(options, None if options.vote == "none" else mask)
    votes: dict[str, Any] = {"paper": Vote(network, mask)}
    if "partition" in _VOTES[options.vote]:
        # Fails now, not after the training.
        votes["partition"] = partition(network, options.cell_size, options.mask_rate)
    data = load()
    with progress_bars(console) as start:
        made = train(network, data, start=start)
    _say_accuracy(made.history, console)
    for name in _VOTES[options.vote]:
        saved, path = made.model, options.output
        if name in votes:
            saved = votes[name].around(made.model)
        if len(_VOTES[options.vote]) > 1:
            path = path.with_stem(f"{path.stem}-{name}")
        saved.save(path)
        _say_written(path, options, console)


def _train_certified(options: argparse.Namespace, console: Console, load: Load) -> None:
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes.certified import certified_vote, trained_for
    from keras_maskdef.recipes.training import train

    rates = tuple(options.train_rates)
    network = _network(
        options, trained_for(options.cell_size, rates, options.fill_value), "cosine"
    )
    vote = certified_vote(network, options.mask_rate)
    data = load()
    with progress_bars(console) as start:
        made = train(network, data, start=start)
    _say_accuracy(made.history, console)
    vote.around(made.model).save(options.output)
    _say_written(options.output, options, console, "certify")


def _train_sfm(options: argparse.Namespace, console: Console, load: Load) -> None:
    from dataclasses import replace

    from keras_maskdef._extra import require
    from keras_maskdef._progress import progress_bars
    from keras_maskdef.recipes import alternating, sfm_pictures
    from keras_maskdef.recipes.alternation import Alternation
    from keras_maskdef.recipes.defences import SparseFeatures
    from keras_maskdef.recipes.training import train

    network = _network(options, None, "cosine")
    alternation = Alternation(
        replace(network, epochs=options.pretraining_epochs),
        median=options.median,
        rho=options.rho,
        train_on=options.train_on,
        epochs=options.epochs,
        seed=options.seed,
    )
    if options.pictures:  # fails now, not after the training
        require("matplotlib", "plots")
        options.pictures.mkdir(parents=True, exist_ok=True)
    data, held_out = load("training"), load("held_out")
    alternating.check(alternation, data.images.shape[1:])
    with progress_bars(console) as start:
        classifier = train(alternation.network, data, start=start).model
        made = alternating.alternate(
            alternation, classifier, data, held_out, start=start
        )
    model = SparseFeatures(alternation).build(lambda _: made)
    model.save(options.output)
    last = {name: values[-1] for name, values in made.history.items()}
    console.print(
        f"last epoch: density of the mask {last['masker_density']:.4f}, "
        f"agreement {last['masker_agreement']:.4f}"
    )
    for name, seen in (("training", data), ("held-out", held_out)):
        right = sfm_pictures.accuracy(model, seen)
        count = len(seen.images)
        console.print(f"accuracy of the defended model: {right:.4f} ({count} {name})")
    _say_written(options.output, options, console)
    if options.pictures:
        paths = sfm_pictures.save(alternation, made, held_out, options.pictures)
        for path in paths:
            say(console, f"wrote {path}")


def _network(options: argparse.Namespace, mask: Any, schedule: str = "constant") -> Any:
    from keras_maskdef.recipes.network import Network

    return Network(
        options.dataset,
        options.architecture,
        getattr(options, "width", None),
        mask,
        epochs=options.epochs,
        schedule=schedule,
        seed=options.seed,
    )


def _say_written(
    path: Path, options: argparse.Namespace, console: Console, then: str = "evaluate"
) -> None:
    """The model, and what to do with it."""
    from keras_maskdef import datasets

    source = datasets.find(options.dataset, options.data_dir)
    is_divided = len(source.parts) > 1
    dataset = options.dataset if is_divided else "OTHER-IMAGES"
    words = ["maskdef", then, path, "--dataset", dataset]
    if options.dataset not in datasets.NAMES:
        words += ["--value-range", 0, 1]  # layers of such a model do not tell it
    if options.data_dir:
        words += ["--data-dir", options.data_dir]
    say(console, f"wrote {path}; then `{shlex.join(map(str, words))}`")


def _say_accuracy(history: Any, console: Console) -> None:
    console.print(f"training accuracy of the last epoch: {history['accuracy'][-1]:.4f}")


def add_train(train: Any) -> None:
    """The options of `train`, besides those of every command on data."""
    train.add_argument("--defence", choices=tuple(_OWN), default="mad")
    train.add_argument("--architecture", choices=_ARCHITECTURES, default="lenet")
    train.add_argument("--output", type=keras_file, help="a .keras file; required")
    add_own_data(train)
    _own(train, "--epochs", "of the classifier under its masks", type=count)

    several = train.add_argument_group("with several of them")
    text = "of an architecture that comes in several; the architecture has a default"
    _own(several, "--width", text, type=width)
    _own(several, "--cell-size", "in pixels", type=count)
    _own(several, "--mask-rate", "fraction of cells hidden in the vote", type=rate)

    mad = train.add_argument_group("with --defence mad: random masks and a vote")
    text = (
        "the vote to save around it, or both in files of their own; with none it is "
        "trained without masks"
    )
    _own(mad, "--vote", text, choices=tuple(_VOTES))

    sfm = train.add_argument_group("with --defence sfm: a learned masker and a filter")
    _own(sfm, "--pretraining-epochs", "without the masker, before", type=count)
    text = "the larger, the sparser the mask; below 1 it keeps everything"
    _own(sfm, "--rho", text, type=positive)
    text = "what the classifier sees in training"
    _own(sfm, "--train-on", text, choices=("filtered", "masked"))
    text = "side of the median filter in pixels"
    _own(sfm, "--median", text, type=int, choices=range(2, 8))
    text = "folder for masks.png and alternation.png; needs matplotlib"
    _own(sfm, "--pictures", text, type=Path)

    certified = train.add_argument_group("with --defence certified: for proofs")
    text = "the lowest and highest fraction of cells hidden in training"
    _own(certified, "--train-rates", text, type=rate, nargs=2)
    _own(certified, "--fill-value", "what hidden pixels get", type=float)


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
    "certified": {
        "epochs": 30,
        "width": None,
        "cell_size": 7,
        "mask_rate": 0.75,
        "train_rates": (0.1, 0.85),
        "fill_value": 0.5,
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
