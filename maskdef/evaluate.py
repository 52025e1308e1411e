"""`maskdef evaluate`: measures the robust accuracy of saved models."""

import argparse
from pathlib import Path
from typing import Any

from maskdef.options import (
    add_engine,
    add_models,
    count,
    engine_of,
    option,
    positive,
    shard,
)

# Names of `keras_maskdef.evaluation.threat_models`; the adaptive one always runs.
THREAT_MODELS = ("surrogate", "classifier", "gray_box", "white_box")
SAMPLES = (1, 5, 20, 50)
ATTACKS = ("fgsm", "bim", "pgd", "deepfool")
# Default epsilons on [0, 1], for one channel and for several: close to the usual ones
# for digits and photographs.
EPSILON, EPSILON_IN_COLOUR = 0.15, 8 / 255


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", help=".keras files")
    parser.add_argument("--images", type=count, default=200, help="images to attack")
    add_models(parser)
    what = parser.add_argument_group("attacks")
    what.add_argument(
        "--attacks", nargs="+", default=ATTACKS, metavar="NAME[:NORM[:LIBRARY]]"
    )
    what.add_argument(
        "--epsilon",
        nargs="+",
        type=positive,
        help="perturbation budget on the scale of the models' images; several make a "
        "curve (default: 0.15 times its span, 8/255 times for colour images)",
    )
    text = "option of an attack, in place of its library's default, as cw:steps=300"
    what.add_argument(
        "--set", nargs="+", type=option, default=[], metavar="NAME:OPTION=N", help=text
    )
    who = parser.add_argument_group("threat models (the adaptive one always runs)")
    who.add_argument(
        "--threat-models", nargs="+", choices=THREAT_MODELS, default=["classifier"]
    )
    who.add_argument("--surrogate", type=Path, help=".keras file of the surrogate")
    text = "masks averaged in each adaptive step; more are tried while they help"
    who.add_argument("--eot-samples", nargs="+", type=count, default=SAMPLES, help=text)
    how = parser.add_argument_group("run")
    text = "independent predictions of each image by a random defence"
    how.add_argument("--repeats", type=count, default=10, help=text)
    how.add_argument("--batch-size", type=count, default=250)
    how.add_argument("--output", type=Path, help="folder to keep the run in")
    how.add_argument("--resume", action="store_true", help="resume the run in --output")
    how.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="I/N", help="run part I of N"
    )
    add_engine(parser)


def run(options: argparse.Namespace, console: Any) -> None:
    """Evaluates saved models, and keeps the run if `--output` is given."""
    import keras

    from keras_maskdef.core.progress import progress_bars, say
    from keras_maskdef.evaluation.evaluate import evaluate
    from maskdef.data import images_for, load_models
    from maskdef.output import without_robustness_warnings, write_page

    _check_options(options)
    engine = engine_of(options)
    keras.utils.set_random_seed(options.seed)
    surrogates = [] if options.surrogate is None else [options.surrogate]
    models = load_models(options, [*options.models, *surrogates])
    test, value_range = images_for(options, models, console)
    defences = {
        path.stem: model for path, model in zip(options.models, models, strict=False)
    }
    attacks = _attacks(options, _epsilons(options, test.images, value_range))
    with without_robustness_warnings(), progress_bars(console) as start:
        report = evaluate(
            defences,
            test,
            attacks,
            options.threat_models,
            surrogate=models[-1] if surrogates else None,
            eot_samples=options.eot_samples,
            repeats=options.repeats,
            batch_size=options.batch_size,
            seed=options.seed,
            folder=options.output,
            resume=options.resume,
            shard=options.shard,
            engine=engine,
            value_range=value_range,
            start=start,
        )
    console.print(report)
    if options.output and options.shard[1] > 1:
        say(console, f"wrote {options.output}; `maskdef merge` joins the parts")
    elif options.output:
        write_page(options.output, console)
    else:
        say(console, "--output FOLDER also writes a page with curves and pictures")


def _epsilons(
    options: argparse.Namespace, images: Any, value_range: Any
) -> list[float]:
    unit = EPSILON if images.shape[-1] == 1 else EPSILON_IN_COLOUR
    return options.epsilon or [unit * (value_range[1] - value_range[0])]


def _attacks(options: argparse.Namespace, epsilons: list[float]) -> list[Any]:
    from keras_maskdef.attacks import describe
    from keras_maskdef.evaluation.scenario import AttackSetting

    _check_set(options.set, {text.split(":")[0] for text in options.attacks})
    given = _options_by_attack(options.set)
    settings = []
    for text in options.attacks:
        if text.count(":") > 2:
            raise ValueError(
                "`attacks` must be NAME, NAME:NORM or NAME:NORM:LIBRARY. "
                f"Received: {text}"
            )
        name, norm, library = (*text.split(":"), None, None)[:3]
        info = describe(name, norm or "linf", library)
        settings += [
            AttackSetting(name, info.norm, epsilon, library, given.get(name, {}))
            for epsilon in epsilons
        ]
    return settings


def _check_set(given: Any, attacks: set[str]) -> None:
    for attack, name, value in given:
        if attack not in attacks:
            raise ValueError(
                f"`set` must be for one of {', '.join(sorted(attacks))}. "
                f"Received: set={attack}:{name}={value}"
            )


def _check_options(options: argparse.Namespace) -> None:
    """Checks options that would fail after hours, or be ignored."""
    if len({path.stem for path in options.models}) < len(options.models):
        raise ValueError(
            "`models` must be files of different names, which head the columns. "
            f"Received: models={[str(path) for path in options.models]}"
        )
    if options.output is None and (options.resume or options.shard != (1, 1)):
        raise ValueError(
            "`--resume` and `--shard` need the folder of `--output`. "
            f"Received: resume={options.resume}, shard={options.shard}, output=None"
        )
    if options.output and (options.output / "config.json").exists():
        if not options.resume:
            raise FileExistsError(
                "`--output` holds a run already: `--resume` it, or choose another. "
                f"Received: output={str(options.output)!r}"
            )


def _options_by_attack(given: Any) -> dict[str, dict[str, float]]:
    by_attack: dict[str, dict[str, float]] = {}
    for attack, name, value in given:
        by_attack.setdefault(attack, {})[name] = value
    return by_attack
