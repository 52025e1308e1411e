"""The work of a run, piece by piece."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_maskdef._progress import Start
from keras_maskdef._run_folder import RunFolder
from keras_maskdef._seeding import kept_seeds, seed_of
from keras_maskdef.evaluation.columns import Column
from keras_maskdef.evaluation.defence import Defence
from keras_maskdef.evaluation.frozen import frozen_masks
from keras_maskdef.evaluation.outcomes import Attacker, outcome
from keras_maskdef.evaluation.results import settled
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.evaluation.stored import Stored
from keras_maskdef.evaluation.threat_models import THREAT_MODELS


class Run:
    """Does what is not done yet.

    Args:
        store: Where outcomes are kept.
        columns: Who judges.
        images: `(n, height, width, channels)`, float32 in the run's `value_range`.
        labels: `(n,)`.
        surrogate: Model of the attacker who has one.
        start: Starts a progress bar.
    """

    def __init__(
        self,
        store: RunFolder,
        columns: Sequence[Column],
        images: np.ndarray,
        labels: np.ndarray,
        surrogate: Any,
        start: Start,
    ) -> None:
        self.stored = Stored(store)
        self.columns = columns
        self.images, self.labels = images, labels
        self.surrogate = surrogate
        self.start = start
        self._attacker = Attacker(self.stored.value_range)
        self._models: dict[tuple[str, str], tuple[Any, ...]] = {}

    def work(self) -> None:
        """All pieces of work of this run's part."""
        models = [model for column in self.columns for model in column.models]
        models.append(self.surrogate)
        with kept_seeds(models):
            for scenario in self.stored.plan:
                if self._is_wanted(scenario):
                    self._scenario(scenario)

    def _is_wanted(self, scenario: Scenario) -> bool:
        """More masks a step only while they make an attack stronger.

        A part of a run cannot tell.
        """
        stored = self.stored
        if scenario.threat_model != "adaptive" or stored.is_part:
            return True
        plan = [s for s in stored.plan if s.same_attack == scenario.same_attack]
        done = stored.outcomes(plan[: plan.index(scenario)])
        return scenario in settled(plan, done, stored.labels, stored.is_random)

    def _scenario(self, scenario: Scenario) -> None:
        total = len(self.columns) * len(self.stored.labels)
        advance = self.start(scenario.title, total)
        for batch, where in self.stored.batches():
            for column in self.columns:
                key = self.stored.key(scenario, column.name, batch)
                if key not in self.stored.store:
                    made = self._piece(scenario, column, batch, where)
                    if made is not None:
                        self.stored.store.save(key, made)
                advance(len(self.labels[where]))

    def _piece(
        self,
        scenario: Scenario,
        column: Column,
        batch: int,
        where: slice,
    ) -> Any:
        images, labels = self.images[where], self.labels[where]
        seed, key = self.stored.seed, scenario.key
        defence = column.defence
        if scenario.threat_model == "none":
            crafted = [images[None]]
        else:
            models = self._attacked(scenario, column)
            if not models:
                return None
            if scenario.threat_model == "frozen":
                defence = Defence(models[0], models[0], models)
            attack_seed = seed_of(seed, key, batch, "attack")
            crafted = [
                self._attacker(scenario, model, images, labels, attack_seed)
                for model in models
            ]
        # Of its own: no judge may replay the masks that the attacker saw.
        judge_seed = seed_of(seed, key, batch, "judge", column.name)
        random = column.is_random and scenario.threat_model != "frozen"
        times = self.stored.judgements if random else 1
        return outcome(defence, crafted, images, labels, scenario, times, judge_seed)

    def _attacked(self, scenario: Scenario, column: Column) -> tuple[Any, ...]:
        """The models that this attacker differentiates, made once."""
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
            shape = self.images.shape[1:]
            fixed = frozen_masks(defence.predict, shape, self.stored.seed)
            return () if fixed is None else (fixed,)
        if threat == "surrogate":
            return THREAT_MODELS[threat](defence, self.surrogate)
        if threat == "adaptive" and samples is None:  # nothing is random
            return defence.white_box
        if threat == "adaptive":
            return THREAT_MODELS[threat](defence, samples)
        return THREAT_MODELS[threat](defence)
