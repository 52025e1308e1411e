"""Builds the report of a run from its folder."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.core.value_range import UNIT
from keras_maskdef.evaluation.checks import failures, without_gradient
from keras_maskdef.evaluation.rows import rows_of, settled, with_paper
from keras_maskdef.evaluation.run_store import Stored
from keras_maskdef.results.report import Report, Row
from keras_maskdef.results.wording import budget, percent


def summary(store: RunFolder) -> Report:
    """Builds the report from the outcomes of a run.

    Args:
        store: The folder of a finished run.

    Returns:
        The report, the same to the last bit for the same outcomes.

    Raises:
        OSError: If a file is damaged.
        ValueError: If the run is not finished.
    """
    stored = Stored(store)
    outcomes, labels = stored.outcomes(), stored.labels
    plan = settled(stored.plan, outcomes, labels, stored.is_random)
    unpredicted = [name for name in stored.columns if (plan[0], name) not in outcomes]
    if unpredicted:
        raise ValueError(
            "The folder must hold a run that is done; resume this one first. Received: "
            f"{store.path}, without {plan[0].attack} images of {', '.join(unpredicted)}"
        )
    rows = rows_of(plan, outcomes, stored.bare, labels)
    if not any(stored.is_random.values()):  # no masks, so no EOT samples
        rows = [replace(row, samples=None) for row in rows]
    shown = [row for row in rows if row.threat_model != "frozen"]
    frozen = [row for row in rows if row.threat_model == "frozen"]
    config = {"value_range": list(UNIT), **stored.config}
    figures = {tuple(key): value for key, value in config["paper"]}
    return Report(
        with_paper(shown, figures),
        _notes(config, len(labels), frozen),
        _settings(config, len(labels)),
        {
            column["name"]: {"bare": column["bare"], "votes": column["votes"]}
            for column in config["columns"]
        },
        tuple(config["class_names"]),
        [
            {"name": category.__name__, "message": message}
            for category, message in [
                *failures(rows, stored.bare),
                *without_gradient(outcomes),
            ]
        ],
    )


def _settings(config: dict[str, Any], images: int) -> dict[str, Any]:
    samples = [s["samples"] for s in config["plan"] if s["samples"]]
    return {
        **config["versions"],
        "seed": config["seed"],
        "images": images,
        "judgements": config["judgements"],
        "samples": sorted({*samples}),
        "batch_size": config["batch_size"],
        "checks": any(s["threat_model"] == "noise" for s in config["plan"]),
        "value_range": config["value_range"],
    }


def _notes(config: dict[str, Any], images: int, frozen: Sequence[Row]) -> list[str]:
    return [
        f"{images} test images, those misclassified without an attack included.",
        *_scale(config),
        "Attackers know the base model of each column, unless the row says more.",
        "Adaptive attacks know the defence: each step averages the gradient over fresh",
        "masks (EOT samples); of a median filter's two gradients, the stronger attack",
        "counts. Quote the worst case: an image counts only if it withstands every",
        f"attack. A random defence predicts each image {config['judgements']} times.",
        "Intervals are Wilson's, over images, not over trained models.",
        *_control(frozen),
        *_unfrozen(config, frozen),
        *_options(config),
    ]


def _scale(config: dict[str, Any]) -> list[str]:
    """The scale of images and epsilons, if it is not [0, 1]."""
    low, high = config["value_range"]
    if (low, high) == UNIT:
        return []
    return [f"Images and epsilons are on a scale from {low:g} to {high:g}."]


def _unfrozen(config: dict[str, Any], frozen: Sequence[Row]) -> list[str]:
    """Columns whose masks could not be frozen."""
    run = {name for row in frozen for name, score in row.scores.items() if score}
    plan = {scenario["threat_model"] for scenario in config["plan"]}
    return [
        f"Sanity check: the masks of {column['name']} could not be frozen."
        for column in config["columns"]
        if "frozen" in plan and column["is_random"] and column["name"] not in run
    ]


def _options(config: dict[str, Any]) -> list[str]:
    """Options that differ from the library's defaults."""
    lines = {
        f"{s['attack']} ({s['norm']}, {s['library']}) ran with "
        + ", ".join(f"{name} {value:.4g}" for name, value in s["options"].items())
        + "."
        for s in config["plan"]
        if s["options"]
    }
    return sorted(lines)


def _control(frozen: Sequence[Row]) -> list[str]:
    """Results of the frozen-mask sanity check, which has no row."""
    return [
        f"Sanity check: with its masks frozen, {budget(row)} leaves {name} "
        f"{percent(score.accuracy)} % robust accuracy."
        for row in frozen
        for name, score in row.scores.items()
        if score is not None
    ]
