"""`maskdef evaluate`, `merge` and `report`: argument parsing and printing."""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_maskdef._argument_types import count, option, positive, shard
from keras_maskdef._data_options import add_models, images_for, load_models
from keras_maskdef._engine_options import add_engine, engine_of
from keras_maskdef._progress import say
from keras_maskdef.evaluation.threat_models import SAMPLES, THREAT_MODELS
from keras_maskdef.layers._value_range import span

PAGE = "report.html"
THREATS = tuple(name for name in THREAT_MODELS if name != "adaptive")
ATTACKS = ("fgsm", "bim", "pgd", "deepfool")
_NOT_WITH_TABLE = {
    "attacks": ATTACKS,
    "epsilon": None,
    "threat_models": ["classifier"],
    "value_range": None,
}
# On [0, 1], of one channel and of several: what the field measures digits and
# photographs with, more or less.
EPSILON, EPSILON_IN_COLOUR = 0.15, 8 / 255


def evaluate(options: argparse.Namespace, console: Console) -> None:
    """Attacks saved models; keeps the run in a folder if there is one to keep it in."""
    import keras

    from keras_maskdef._progress import progress_bars
    from keras_maskdef.evaluation.evaluate import evaluate

    _check_options(options)
    engine = engine_of(options)
    keras.utils.set_random_seed(options.seed)
    surrogates = [] if options.surrogate is None else [options.surrogate]
    models = load_models(options, [*options.models, *surrogates])
    test, value_range = images_for(options, models, console)
    defences = {
        path.stem: model for path, model in zip(options.models, models, strict=False)
    }
    surrogate = models[-1] if surrogates else None
    with said_in_the_report(), progress_bars(console) as start:
        plan = _plan(options, defences, test, value_range, start)
        report = evaluate(
            defences,
            test,
            **plan,
            surrogate=surrogate,
            samples=options.samples,
            judgements=options.judgements,
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
        say(console, f"wrote {options.output}; `maskdef merge` puts parts together")
    elif options.output:
        _write_report(options.output, console)
    else:
        say(console, "with --output FOLDER a page with curves and pictures is made")


def merge(options: argparse.Namespace, console: Console) -> None:
    """Puts the parts of a run together."""
    from keras_maskdef.evaluation.merge import merge

    console.print(merge(options.parts, options.output))
    _write_report(options.output, console)


def report(options: argparse.Namespace, console: Console) -> None:
    """Makes a page and pictures of a run."""
    from keras_maskdef.evaluation.html_report import write_report

    for path in write_report(options.run_folder, options.output):
        say(console, f"wrote {path}")
    _say_page(options.output or options.run_folder, console)


def _write_report(run: Path, console: Console) -> None:
    """The page of a run that is done, and where it is."""
    from keras_maskdef.evaluation.html_report import write_report

    say(console, f"wrote {run}")
    try:
        write_report(run)
    except ImportError as error:
        say(console, f"no page was made of it: {error}; then `maskdef report {run}`")
        return
    _say_page(run, console)


def _say_page(folder: Path, console: Console) -> None:
    say(console, f"the report: {folder / PAGE}")
    say(console, f"open it in a browser: {(folder / PAGE).resolve().as_uri()}")


@contextmanager
def said_in_the_report() -> Iterator[None]:
    """Leaves out warnings that the printed table repeats."""
    from keras_maskdef.evaluation.checks import RobustnessWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)
        yield


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """The options of `evaluate`, besides those of every command on data."""
    parser.add_argument("models", type=Path, nargs="*", default=[], help=".keras files")
    parser.add_argument("--images", type=count, default=200, help="to attack")
    add_models(parser)
    what = parser.add_argument_group("which attacks")
    what.add_argument(
        "--attacks", nargs="+", default=ATTACKS, metavar="NAME[:NORM[:LIBRARY]]"
    )
    what.add_argument(
        "--epsilon",
        nargs="+",
        type=positive,
        help="on the scale of the models' images; several make a curve (default: 0.15 "
        "of its span, of images in colour 8/255)",
    )
    text = "an option of an attack where not the library's, such as cw:steps=300"
    what.add_argument(
        "--set", nargs="+", type=option, default=[], metavar="NAME:OPTION=N", help=text
    )
    what.add_argument("--table", help="a paper's table, in place of the above")
    what.add_argument(
        "--no-match", action="store_true", help="with --table: the paper's sizes only"
    )
    who = parser.add_argument_group("by which attackers; the adaptive one comes always")
    who.add_argument(
        "--threat-models", nargs="+", choices=THREATS, default=["classifier"]
    )
    who.add_argument("--surrogate", type=Path, help="their own .keras file")
    text = "masks in each step of the adaptive attack, until it gets no stronger"
    who.add_argument("--samples", nargs="+", type=count, default=SAMPLES, help=text)
    how = parser.add_argument_group("how")
    how.add_argument("--judgements", type=count, default=10, help="of each image")
    how.add_argument("--batch-size", type=count, default=250)
    how.add_argument("--output", type=Path, help="folder to keep the run in")
    how.add_argument("--resume", action="store_true", help="go on with that run")
    how.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="I/N", help="one of N parts"
    )
    add_engine(parser)


def add_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("parts", type=Path, nargs="+", help="folders of all parts")
    parser.add_argument("--output", type=Path, required=True, help="folder")


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="run", help="folder of a run")
    parser.add_argument("--output", type=Path, help="folder; that of the run if none")


def _plan(
    options: argparse.Namespace,
    defences: Any,
    test: Any,
    value_range: Any,
    start: Any,
) -> dict[str, Any]:
    if options.table is None:
        unit = EPSILON if test.images.shape[-1] == 1 else EPSILON_IN_COLOUR
        epsilons = options.epsilon or [unit * span(value_range)]
        return {
            "attacks": _attacks(options, epsilons),
            "threat_models": options.threat_models,
        }
    from keras_maskdef.recipes.paper_evaluation import (
        MATCH_IMAGES,
        check_table,
        table_run,
    )
    from keras_maskdef.recipes.paper_tables import TABLES

    table = check_table(options.table, TABLES)
    if options.dataset != table.dataset:
        raise ValueError(
            f"`dataset` must be that of the table, {table.dataset!r}. "
            f"Received: dataset={options.dataset!r}, table={table.name!r}"
        )
    known = {row.attack for row in table.rows}
    _check_set(options.set, known)
    run = table_run(
        table,
        defences,
        test,
        0 if options.no_match else MATCH_IMAGES,
        cut=_options_by_attack(options.set),
        seed=options.seed,
        start=start,
    )
    return {
        "attacks": run.attacks,
        "adaptive": run.adaptive,
        "paper": run.paper,
        "threat_models": (table.threat_model,),
    }


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
    """What would be found out after hours, or be ignored."""
    if not options.models:
        raise ValueError(
            "`models` must be at least one .keras file, unless `--recipe` says what is "
            "attacked. Received: models=[]"
        )
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
    if options.no_match and options.table is None:
        raise ValueError("`--no-match` needs `--table`. Received: table=None")
    for name, default in _NOT_WITH_TABLE.items():
        if options.table is not None and getattr(options, name) != default:
            raise ValueError(
                f"`--{name.replace('_', '-')}` must be left out with `--table`, which "
                f"has its own. Received: {name}={getattr(options, name)}"
            )


def _options_by_attack(given: Any) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for attack, name, value in given:
        found.setdefault(attack, {})[name] = value
    return found
