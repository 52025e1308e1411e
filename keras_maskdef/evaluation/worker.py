"""Attacks one batch and predicts it, in this process or on a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_maskdef.backend.seeding import kept_seeds, reseed, seed_of
from keras_maskdef.core.checked_files import Arrays
from keras_maskdef.core.value_range import UNIT, ValueRange
from keras_maskdef.engines.shipping import check_same
from keras_maskdef.evaluation.columns import FEW, Column, columns_of
from keras_maskdef.evaluation.defence import Defence
from keras_maskdef.evaluation.frozen import frozen_masks
from keras_maskdef.evaluation.outcomes import WITHOUT_GRADIENT, Attacker, outcome
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.evaluation.threat_models import THREAT_MODELS


@dataclass(frozen=True, eq=False)
class AttackBatch:
    """One attack on one batch; columns that share a model share the crafted images.

    Args:
        scenario: The attack.
        batch: Number of the batch.
        images: Its images, `(n, height, width, channels)`.
        labels: Their classes, `(n,)`.
        columns: Names of the columns still to do.
    """

    scenario: Scenario
    batch: int
    images: np.ndarray
    labels: np.ndarray
    columns: tuple[str, ...]


class Worker:
    """Attacks batches and predicts the results; no batch depends on another.

    Args:
        defences: What `evaluate` was given; another process rebuilds the columns of it.
        columns: The columns that predict.
        images: Some images.
        surrogate: Model that a surrogate attacker has, or None.
        seed: Integer, the seed of the run.
        judgements: Integer, repeats of each prediction where the defence is random.
        value_range: The lowest and the highest value of the images.
    """

    def __init__(
        self,
        defences: Any,
        columns: Sequence[Column],
        images: np.ndarray,
        surrogate: Any,
        seed: int,
        judgements: int,
        value_range: ValueRange = UNIT,
    ) -> None:
        self._defences, self._few = defences, images[:FEW]
        self._columns = {column.name: column for column in columns}
        self._surrogate = surrogate
        self._seed, self._judgements = seed, judgements
        self._value_range = value_range
        self._attacker = Attacker(value_range)
        self._models: dict[tuple[str, str], tuple[Any, ...]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Leaves out what is derived from the models, to send each model once."""
        columns = list(self._columns.values())
        heads = [(*_head(column), _answers(column, self._few)) for column in columns]
        rest = (self._surrogate, self._seed, self._judgements, self._value_range)
        return _elsewhere, (heads, self._defences, self._few, *rest)

    @property
    def models(self) -> list[Any]:
        """The models that may have a random state."""
        columns = self._columns.values()
        return [*(m for column in columns for m in column.models), self._surrogate]

    def __call__(self, piece: AttackBatch) -> Iterator[tuple[str, Arrays | None]]:
        """Yields the outcome of each column; None where there is nothing to attack."""
        for name in piece.columns:
            yield name, self._outcome(piece, self._columns[name])

    def _outcome(self, piece: AttackBatch, column: Column) -> Arrays | None:
        images, labels, scenario = piece.images, piece.labels, piece.scenario
        seed, key = self._seed, scenario.key
        defence = column.defence
        gradients: Arrays = {}
        if scenario.threat_model == "none":
            crafted = [images[None]]
        else:
            models = self._attacked(scenario, column)
            if not models:
                return None
            if scenario.threat_model == "frozen":
                defence = Defence(models[0], models[0], models)
            attack_seed = seed_of(seed, key, piece.batch, "attack")
            crafted = [
                self._attacker(scenario, model, images, labels, attack_seed)
                for model in models
            ]
            if scenario.uses_gradient:
                lost = [
                    self._attacker.without_gradient(scenario, model, images, labels)
                    for model in models
                ]
                gradients = {WITHOUT_GRADIENT: np.all(lost, axis=0)}
        # A separate seed: predictions must not replay the masks of the attack.
        prediction_seed = seed_of(seed, key, piece.batch, "judge", column.name)
        random = column.is_random and scenario.threat_model != "frozen"
        times = self._judgements if random else 1
        arrays = outcome(
            defence, crafted, images, labels, scenario, times, prediction_seed
        )
        return {**arrays, **gradients}

    def _attacked(self, scenario: Scenario, column: Column) -> tuple[Any, ...]:
        """The models that this attacker differentiates, built once."""
        samples = scenario.samples if column.is_random else None
        name = f"{scenario.threat_model} {samples}"
        if (name, column.name) not in self._models:
            self._models[name, column.name] = self._build(scenario, column, samples)
        return self._models[name, column.name]

    def _build(
        self, scenario: Scenario, column: Column, samples: int | None
    ) -> tuple[Any, ...]:
        threat, defence = scenario.threat_model, column.defence
        if threat == "noise":
            return (defence.classifier,)
        if threat == "frozen":
            shape = self._few.shape[1:]
            fixed = frozen_masks(defence.predict, shape, self._seed)
            return () if fixed is None else (fixed,)
        if threat == "surrogate":
            return THREAT_MODELS[threat](defence, self._surrogate)
        if threat == "adaptive" and samples is None:  # nothing is random
            return defence.white_box
        if threat == "adaptive":
            return THREAT_MODELS[threat](defence, samples)
        return THREAT_MODELS[threat](defence)


def _elsewhere(
    known: list[tuple[str, str, bool, np.ndarray | None]],
    defences: Any,
    few: np.ndarray,
    *rest: Any,
) -> Worker:
    """Rebuilds the worker in another process and checks that its columns agree."""
    columns = columns_of(defences, few)
    heads = [head for *head, _ in known]
    rebuilt = [_head(column) for column in columns]
    if [tuple(head) for head in heads] != rebuilt:
        raise ValueError(
            "`defences` must be the same after they were sent to a worker of a "
            f"cluster. Received: columns (name, base model, random) {heads}, "
            f"and there {rebuilt}"
        )
    for column, (*_, answers) in zip(columns, known, strict=True):
        if answers is not None:
            check_same(answers, _answers(column, few))
    return Worker(defences, columns, few, *rest)


def _head(column: Column) -> tuple[str, str, bool]:
    return column.name, column.bare, column.is_random


def _answers(column: Column, images: np.ndarray) -> Any:
    """Outputs under masks of a fixed seed; None if random in a way seeds do not fix."""
    defence = column.defence
    if column.is_random and not defence.is_random:
        return None
    with kept_seeds([defence.predict]):
        reseed([defence.predict], 0)
        return defence.outputs(images)
