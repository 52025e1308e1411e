"""`maskdef evaluate`, `merge` and `report`: argument parsing and printing."""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_maskdef._argument_types import count, option, positive, shard
from keras_maskdef._engine_options import add_engine, engine_of
from keras_maskdef._value_range_options import add_value_range, as_taken
from keras_maskdef.evaluation.threat_models import SAMPLES, THREAT_MODELS
from keras_maskdef.layers._value_range import UNIT

THREATS = tuple(name for name in THREAT_MODELS if name != "adaptive")
ATTACKS = ("fgsm", "bim", "pgd", "deepfool")
_NOT_WITH_TABLE = {
    "attacks": ATTACKS,
    "epsilon": [0.15],
    "threat_models": ["classifier"],
    "value_range": list(UNIT),
}


def evaluate(options: argparse.Namespace, console: Console, test: Any) -> None:
    """Attacks saved models; keeps the run in a folder if there is one to keep it in."""
    import keras

    from keras_maskdef._progress import progress_bars
    from keras_maskdef.evaluation.evaluate import evaluate

    _check_options(options)
    engine, test = engine_of(options), as_taken(options, test)
    keras.utils.set_random_seed(options.seed)
    defences = {path.stem: keras.saving.load_model(path) for path in options.models}
    if len(defences) < len(options.models):
        raise ValueError(
            "`models` must be files of different names, which head the columns. "
            f"Received: models={[str(path) for path in options.models]}"
        )
    surrogate = options.surrogate and keras.saving.load_model(options.surrogate)
    with said_in_the_report(), progress_bars(console) as start:
        plan = _plan(options, defences, test, start)
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
            value_range=options.value_range,
            start=start,
        )
    console.print(report)
    if options.output:
        console.print(f"wrote {options.output}; `maskdef report {options.output}`")


def merge(options: argparse.Namespace, console: Console) -> None:
    """Puts the parts of a run together."""
    from keras_maskdef.evaluation.merge import merge

    console.print(merge(options.parts, options.output))
    console.print(f"wrote {options.output}; `maskdef report {options.output}`")


def report(options: argparse.Namespace, console: Console) -> None:
    """Makes a page and pictures of a run."""
    from keras_maskdef.evaluation.html_report import write_report

    for path in write_report(options.run_folder, options.output):
        console.print(f"wrote {path}")


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
    add_value_range(parser)
    what = parser.add_argument_group("which attacks")
    what.add_argument(
        "--attacks", nargs="+", default=ATTACKS, metavar="NAME[:NORM[:LIBRARY]]"
    )
    what.add_argument(
        "--epsilon",
        nargs="+",
        type=positive,
        default=[0.15],
        help="on the scale of the images; several make a curve",
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
    options: argparse.Namespace, defences: Any, test: Any, start: Any
) -> dict[str, Any]:
    if options.table is None:
        return {"attacks": _attacks(options), "threat_models": options.threat_models}
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


def _attacks(options: argparse.Namespace) -> list[Any]:
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
            for epsilon in options.epsilon
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
    other_range = options.value_range != list(UNIT) and options.table is None
    if other_range and "--epsilon" not in options.typed:
        raise ValueError(
            "`--epsilon` must be given with `--value-range`: sizes are on its scale. "
            f"Received: value_range={options.value_range}, no --epsilon"
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
