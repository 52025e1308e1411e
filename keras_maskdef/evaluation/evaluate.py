"""Measures the robust accuracy of defences under attacks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_maskdef.attacks import describe
from keras_maskdef.attacks.inputs import (
    check_attack,
    check_attack_inputs,
)
from keras_maskdef.backend.seeding import kept_seeds
from keras_maskdef.core import fingerprint as fingerprint
from keras_maskdef.core.arguments import (
    check_int,
    check_positive,
    check_positive_int,
)
from keras_maskdef.core.extras import require
from keras_maskdef.core.former_names import renamed_arguments
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.core.run_folder import RESULTS, kept_in
from keras_maskdef.core.value_range import UNIT, ValueRange, check_value_range
from keras_maskdef.core.view_passes import check_views
from keras_maskdef.datasets.batches import labelled_arrays
from keras_maskdef.engines import Engine, as_engine
from keras_maskdef.evaluation.checks import warn
from keras_maskdef.evaluation.columns import Column, columns_of
from keras_maskdef.evaluation.gallery import save_gallery
from keras_maskdef.evaluation.pending_work import PendingWork
from keras_maskdef.evaluation.run_store import LABELS, column_config
from keras_maskdef.evaluation.scenario import AttackSetting, Scenario, scenarios
from keras_maskdef.evaluation.speed import save_speed
from keras_maskdef.evaluation.summary import summary
from keras_maskdef.evaluation.threat_models import SAMPLES
from keras_maskdef.evaluation.worker import Worker
from keras_maskdef.results.report import Report
from keras_maskdef.results.saved_run import too_much

# The repeats of a batch are in memory at once.
_MOST_REPEATS = 10_000
_MODULES = {"foolbox": "foolbox", "cleverhans": "cleverhans", "art": "art"}


@renamed_arguments(judgements="repeats", samples="eot_samples", checks="sanity_checks")
def evaluate(
    defences: Any,
    data: Sequence[Any],
    attacks: Sequence[AttackSetting],
    threat_models: Sequence[str] = ("classifier",),
    *,
    adaptive: Sequence[AttackSetting] | None = None,
    surrogate: keras.Model | None = None,
    eot_samples: Sequence[int] = SAMPLES,
    repeats: int = 10,
    batch_size: int = 250,
    seed: int = 0,
    sanity_checks: bool = True,
    folder: str | Path | None = None,
    resume: bool = False,
    shard: tuple[int, int] = (1, 1),
    paper: Mapping[Any, Any] | None = None,
    engine: str | Engine = "local",
    value_range: Sequence[float] = UNIT,
    start: Start = silent,
) -> Report:
    """Measures the robust accuracy of defences and of their base models.

    Each threat model runs each attack. Adaptive attacks, which know the defence, always
    follow: they average each step over more and more masks (EOT) until accuracy stops
    falling. The last row is the worst case: an image counts only if it withstands every
    attack above. Every image is predicted anew, on fresh masks, whatever the attack
    reports.

    Sanity checks run as well: noise with the epsilon of each attack, and the adaptive
    attack on one fixed set of masks. A check that fails is a `RobustnessWarning` and a
    line of the report.

    Args:
        defences: A Keras model, a `Defence`, or several of them by name. The base model
            of each becomes a column.
        data: Images, floats in `value_range` `(n, height, width, channels)`, and
            labels, integers `(n,)`; the names of the classes may follow. Or a
            `tf.data.Dataset`, a `PyDataset` or a `DataLoader` of such batches, which
            is read into memory. `loading.images_for` reads them from files.
        attacks: The attacks of each threat model. One attack with several epsilons
            makes a curve.
        threat_models: Some of `"surrogate"`, `"classifier"`, `"gray_box"`,
            `"white_box"` (see `evaluation.threat_models`).
        adaptive: Attacks of the adaptive rows; PGD in all norms and epsilons of
            `attacks` by default.
        surrogate: The independently trained model of `"surrogate"`.
        eot_samples: Numbers of masks that each step of the adaptive attacks averages
            over (expectation over transformation), rising, at most 10,000.
        repeats: Integer, independent predictions of each image where the defence is
            random; at most 10,000. Use at least 10 for published figures.
        batch_size: Integer, images attacked at once. A killed run loses at most the
            batch in work.
        seed: Integer for random starts, noise, and the masks of attacks and
            predictions. The models' own random states are restored afterwards.
        sanity_checks: Whether to run the sanity checks: noise and frozen masks.
        folder: Where to keep configuration, outcomes and results; by default a
            temporary folder that is deleted afterwards.
        resume: Whether to resume the run in `folder`. Its results equal those of a run
            that was never stopped, byte for byte.
        shard: `(i, n)`: run the i-th of n parts; `merge` joins the parts.
        paper: Figures to show beside the rows, see `evaluation.rows.with_paper`.
        engine: Where to run: `"local"`, in this process, `"ray"`, on a cluster, or an
            object of `keras_maskdef.engines`. The results are the same.
        value_range: The lowest and the highest value of the images that the models
            take, such as `(0, 255)`. Epsilons and step sizes of attacks are on this
            scale, here and in the report.
        start: Starts a progress bar: a function of a description and a total that
            returns a function of the amount done since its last call. No bar by
            default.

    Returns:
        The report. It prints as a table under rich, and `save`s as JSON.

    Raises:
        ValueError: For images outside `value_range`; a defence known to expect another
            range (by a layer of this library that receives the images unchanged, or by
            its `value_range`); labels that do not fit; unknown attacks or threat
            models; attacks that do not run on Keras' backend; or a folder of another
            configuration (which includes the backend).
        TypeError: For a defence that is neither a Keras model nor a `Defence`, or that
            cannot be sent to the workers of a cluster; for `data` that are neither
            arrays nor a dataset.
        FileExistsError: If the folder holds a run and `resume` is False.
        OSError: If a file of the folder is damaged or cannot be written.
        ImportError: If the library of an attack, or of the engine, is not installed.

    Example:

    >>> import keras_maskdef as kmd
    >>> from keras_maskdef.evaluation import AttackSetting, evaluate
    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> defended = kmd.VotingEnsemble(classifier, kmd.RandomGridMask(2, 0.5))
    >>> data = np.full((4, 8, 8, 1), 0.5, "float32"), np.array([0, 1, 2, 0])
    >>> attack = AttackSetting("fgsm", "linf", 0.1)
    >>> quick = {"eot_samples": (1,), "sanity_checks": False}
    >>> report = evaluate(defended, data, [attack], **quick)
    >>> [row.title for row in report.rows]
    ['clean', 'fgsm Linf 0.1', 'adaptive pgd Linf 0.1, 1 EOT sample', 'worst case']

    Reference:
        Carlini et al.: On Evaluating Adversarial Robustness (2019); Croce and Hein:
        AutoAttack, ICML 2020; MAD, section 3.3; SFM-Defense, section 6.1.
    """
    engine = as_engine(engine)
    known_range = check_value_range(value_range)
    images, labels, class_names = _data(data, known_range)
    check_int("repeats", repeats, 1, _MOST_REPEATS)
    check_positive_int("batch_size", batch_size)
    batches = -(-len(images) // batch_size)
    _check_plan(threat_models, surrogate, eot_samples, shard, batches)
    plan = scenarios(
        attacks, threat_models, adaptive, tuple(eot_samples), sanity_checks
    )
    for scenario in plan:
        _check_scenario(scenario)
    columns = columns_of(defences, images, known_range)
    if folder is not None:
        _check_size(plan, columns)
    classes = _classes(columns, images)
    check_labels(labels, len(images), classes)
    class_names = _names(class_names, classes)
    config = {
        "schema": 1,
        "versions": fingerprint.versions(),
        "data": fingerprint.of_arrays(images, labels),
        "images": len(images),
        "class_names": class_names,
        "columns": [column_config(column, images) for column in columns],
        "surrogate": None if surrogate is None else fingerprint.of_model(surrogate),
        "plan": [scenario.to_dict() for scenario in plan],
        "paper": [[list(key), dict(value)] for key, value in (paper or {}).items()],
        "judgements": int(repeats),
        "batch_size": int(batch_size),
        "seed": int(seed),
        "shard": [int(number) for number in shard],
        "value_range": list(known_range),
    }
    with kept_in(folder, config, resume) as store:
        store.write_arrays(LABELS, {"labels": labels})
        numbers = int(seed), int(repeats), known_range
        worker = Worker(defences, columns, images, surrogate, *numbers)
        pending = PendingWork(store, worker, images, labels, engine, start)
        pending.work()
        report = summary(store)
        store.write_json(RESULTS, report.to_dict())
        if folder is not None:
            save_gallery(pending.stored, columns, images, labels, report)
            save_speed(store, columns, images, start)
    warn(report.warnings)
    return report


def _data(data: Any, value_range: ValueRange) -> tuple[np.ndarray, np.ndarray, Any]:
    data = labelled_arrays("data", data)
    images, labels = check_attack_inputs(data[0], data[1], [1.0], value_range)
    if not len(images):
        raise ValueError(
            "`data` must hold at least one image. Received: "
            f"images.shape={images.shape}"
        )
    return images, labels, data[2] if len(data) == 3 else None


def _classes(columns: Sequence[Column], images: np.ndarray) -> int:
    """Number of classes, the same in all columns."""
    counts = {}
    for column in columns:
        with kept_seeds(column.models):
            counts[column.name] = column.classes(images)
    if len({*counts.values()}) > 1:
        raise ValueError(
            "`defences` must have the same classes. "
            f"Received: numbers of classes {counts}"
        )
    return counts[columns[0].name]


def _names(names: Any, classes: int) -> list[str]:
    """Names of all classes; their indices by default."""
    class_names = [str(name) for name in (range(classes) if names is None else names)]
    if len(class_names) != classes:
        raise ValueError(
            f"`data` must name all {classes} classes, or none. "
            f"Received: {len(class_names)} names"
        )
    return class_names


def _check_scenario(scenario: Scenario) -> None:
    """Checks an attack before the run starts."""
    if scenario.attack == "clean":
        return
    info = describe(scenario.attack, scenario.norm or "linf", scenario.library)
    check_attack(info, dict(scenario.options))
    for epsilon in scenario.epsilons:
        check_positive("epsilon", epsilon)
    if info.library in _MODULES:
        require(_MODULES[info.library], "attacks")


def _check_size(plan: Sequence[Scenario], columns: Sequence[Column]) -> None:
    """Refuses, before the work, a report too large to be read again."""
    rows = 1 + sum(len(s.epsilons) for s in plan if s.threat_model != "frozen")
    views = sum(2 * column.votes for column in columns if column.votes)
    wrong = too_much(rows, len(columns), rows * views)
    if wrong:
        raise ValueError(
            "`attacks` and `defences` must make a smaller report for a `folder`: "
            f"divide them. Received: {wrong}"
        )


def _check_plan(
    threat_models: Sequence[str],
    surrogate: Any,
    eot_samples: Sequence[int],
    shard: tuple[int, int],
    batches: int,
) -> None:
    if ("surrogate" in threat_models) != (surrogate is not None):
        raise ValueError(
            '`surrogate` must be a model where "surrogate" is one of `threat_models`, '
            f"and only there. Received: surrogate={surrogate!r}, "
            f"threat_models={tuple(threat_models)}"
        )
    if not eot_samples or list(eot_samples) != sorted({*eot_samples}):
        raise ValueError(
            "`eot_samples` must be rising integers of at least 1. "
            f"Received: eot_samples={tuple(eot_samples)}"
        )
    for number in eot_samples:
        check_views("eot_samples", number)
    part, parts = shard
    if not 1 <= part <= parts <= batches:
        raise ValueError(
            "`shard` must be (i, n) with i from 1 to n, and n at most the number of "
            f"batches, {batches}. Received: shard={tuple(shard)}"
        )
