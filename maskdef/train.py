"""`maskdef train`: trains and saves a defended classifier."""

import argparse
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from maskdef.options import add_own_data, count, keras_file, positive, rate, width

ARCHITECTURES = ("convnet", "lenet", "resnet18", "resnet50", "vgg16")
_VOTES = {
    "partition": ("partition",),
    "paper": ("paper",),
    "both": ("paper", "partition"),
    "none": ("none",),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    defences = parser.add_subparsers(required=True, metavar="DEFENCE")
    for name, (add, train, summary) in DEFENCES.items():
        defence = defences.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=parser.formatter_class,
        )
        defence.set_defaults(train=train, defence=name)
        text = "a .keras file"
        defence.add_argument("--output", type=keras_file, required=True, help=text)
        text = "network to train"
        defence.add_argument(
            "--architecture", choices=ARCHITECTURES, default="lenet", help=text
        )
        add_own_data(defence)
        add(defence)


def run(options: argparse.Namespace, console: Any) -> None:
    options.train(options, console)


def _add_mad(parser: Any) -> None:
    _add_masks(parser, epochs=20)
    text = (
        "vote to save around the classifier; `both` writes two files, `none` trains "
        "without masks"
    )
    parser.add_argument("--vote", choices=tuple(_VOTES), default="partition", help=text)


def _add_sfm(parser: Any) -> None:
    _add_epochs(parser, 8)
    _add_width(parser)
    text = "epochs of pretraining, without the masker"
    parser.add_argument("--pretraining-epochs", type=count, default=4, help=text)
    text = "larger values make the mask sparser; below 1 it keeps everything"
    parser.add_argument("--rho", type=positive, default=1.15, help=text)
    text = "images that train the classifier"
    parser.add_argument(
        "--train-on", choices=("filtered", "masked"), default="masked", help=text
    )
    text = "side of the median filter in pixels"
    parser.add_argument("--median", type=int, choices=range(2, 8), default=2, help=text)
    text = "folder for masks.png and alternation.png; needs matplotlib"
    parser.add_argument("--pictures", type=Path, help=text)


def _add_certified(parser: Any) -> None:
    _add_masks(parser, epochs=30)
    _add_width(parser)
    text = "lowest and highest fraction of hidden cells in training"
    parser.add_argument(
        "--train-rates", type=rate, nargs=2, default=(0.1, 0.85), help=text
    )
    text = "value of hidden pixels"
    parser.add_argument("--fill-value", type=float, default=0.5, help=text)


def _add_masks(parser: Any, epochs: int) -> None:
    _add_epochs(parser, epochs)
    parser.add_argument("--cell-size", type=count, default=7, help="in pixels")
    text = "fraction of hidden cells in the vote; with mad in training, too"
    parser.add_argument("--mask-rate", type=rate, default=0.75, help=text)


def _add_epochs(parser: Any, epochs: int) -> None:
    text = "training epochs under masks"
    parser.add_argument("--epochs", type=count, default=epochs, help=text)


def _add_width(parser: Any) -> None:
    text = "width, for architectures that have one (default: the architecture's)"
    parser.add_argument("--width", type=width, help=text)


class _Splits(NamedTuple):
    """The splits for training and for measuring the result.

    Args:
        training: The training images, without those of `held_out`.
        all_of_it: All images that may be trained on.
        held_out: The held-out images; a tenth of a data set without splits.
    """

    training: str
    all_of_it: str
    held_out: str


def _splits(options: argparse.Namespace) -> _Splits:
    from keras_maskdef import datasets
    from keras_maskdef.datasets.sources import held_out, to_train_on

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


def _load(options: argparse.Namespace, console: Any, which: str = "all_of_it") -> Any:
    from maskdef.data import load

    return load(options, console, getattr(_splits(options), which))


def _train_mad(options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.core.progress import progress_bars
    from keras_maskdef.papers.defences import Vote, partition
    from keras_maskdef.papers.mask_setting import MaskSetting
    from keras_maskdef.papers.training import train

    mask = MaskSetting(options.cell_size, options.mask_rate)
    network = _network(options, None if options.vote == "none" else mask)
    votes: dict[str, Any] = {"paper": Vote(network, mask)}
    if "partition" in _VOTES[options.vote]:
        # Fails now, not after the training.
        votes["partition"] = partition(network, options.cell_size, options.mask_rate)
    data = _load(options, console)
    with progress_bars(console) as start:
        trained = train(network, data, start=start)
    _say_accuracy(trained.history, console)
    for name in _VOTES[options.vote]:
        saved, path = trained.model, options.output
        if name in votes:
            saved = votes[name].around(trained.model)
        if len(_VOTES[options.vote]) > 1:
            path = path.with_stem(f"{path.stem}-{name}")
        saved.save(path)
        _say_written(path, options, console)


def _train_certified(options: argparse.Namespace, console: Any) -> None:
    from keras_maskdef.core.progress import progress_bars
    from keras_maskdef.papers.certified import certified_vote, trained_for
    from keras_maskdef.papers.training import train

    rates = tuple(options.train_rates)
    network = _network(
        options, trained_for(options.cell_size, rates, options.fill_value), "cosine"
    )
    vote = certified_vote(network, options.mask_rate)
    data = _load(options, console)
    with progress_bars(console) as start:
        trained = train(network, data, start=start)
    _say_accuracy(trained.history, console)
    vote.around(trained.model).save(options.output)
    _say_written(options.output, options, console, "certify")


def _train_sfm(options: argparse.Namespace, console: Any) -> None:
    from dataclasses import replace

    from keras_maskdef.core.extras import require
    from keras_maskdef.core.progress import progress_bars, say
    from keras_maskdef.papers import alternating, sfm_pictures
    from keras_maskdef.papers.alternation import Alternation
    from keras_maskdef.papers.defences import SparseFeatures
    from keras_maskdef.papers.training import train

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
    data = _load(options, console, "training")
    held_out = _load(options, console, "held_out")
    alternating.check(alternation, data.images.shape[1:])
    with progress_bars(console) as start:
        classifier = train(alternation.network, data, start=start).model
        alternated = alternating.alternate(
            alternation, classifier, data, held_out, start=start
        )
    model = SparseFeatures(alternation).build(lambda _: alternated)
    model.save(options.output)
    last = {name: values[-1] for name, values in alternated.history.items()}
    console.print(
        f"last epoch: density of the mask {last['masker_density']:.4f}, "
        f"agreement {last['masker_agreement']:.4f}"
    )
    for name, part in (("training", data), ("held-out", held_out)):
        right = sfm_pictures.accuracy(model, part)
        count = len(part.images)
        console.print(f"accuracy of the defended model: {right:.4f} ({count} {name})")
    _say_written(options.output, options, console)
    if options.pictures:
        paths = sfm_pictures.save(alternation, alternated, held_out, options.pictures)
        for path in paths:
            say(console, f"wrote {path}")


def _network(options: argparse.Namespace, mask: Any, schedule: str = "constant") -> Any:
    from keras_maskdef.papers.network import Network

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
    path: Path, options: argparse.Namespace, console: Any, then: str = "evaluate"
) -> None:
    """Prints the path of the model, and a command to run on it."""
    from keras_maskdef import datasets
    from keras_maskdef.core.progress import say

    source = datasets.find(options.dataset, options.data_dir)
    is_divided = len(source.parts) > 1
    dataset = options.dataset if is_divided else "OTHER-IMAGES"
    words = ["maskdef", then, path, "--dataset", dataset]
    if options.dataset not in datasets.NAMES:
        words += ["--value-range", 0, 1]  # the model's layers do not determine it
    if options.data_dir:
        words += ["--data-dir", options.data_dir]
    say(console, f"wrote {path}; then `{shlex.join(map(str, words))}`")


def _say_accuracy(history: Any, console: Any) -> None:
    console.print(f"training accuracy of the last epoch: {history['accuracy'][-1]:.4f}")


DEFENCES = {
    "mad": (_add_mad, _train_mad, "random masks in training, and a vote"),
    "sfm": (_add_sfm, _train_sfm, "a learned masker and a median filter"),
    "certified": (_add_certified, _train_certified, "masks and a vote for proofs"),
}
