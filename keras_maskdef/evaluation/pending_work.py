"""The work of a run, piece by piece."""

from collections.abc import Iterator, Sequence

import numpy as np

from keras_maskdef.backend.seeding import kept_seeds
from keras_maskdef.core.progress import Advance, Start
from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.engines import Engine
from keras_maskdef.evaluation.rows import settled
from keras_maskdef.evaluation.run_store import Stored
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.evaluation.worker import AttackBatch, Worker


class PendingWork:
    """Does what a run has not done yet, and stores the outcomes.

    Args:
        store: Where outcomes are kept.
        worker: Who does a piece of work.
        images: `(n, height, width, channels)`, float32 in the run's `value_range`.
        labels: `(n,)`.
        engine: Where pieces are done.
        start: Starts a progress bar.
    """

    def __init__(
        self,
        store: RunFolder,
        worker: Worker,
        images: np.ndarray,
        labels: np.ndarray,
        engine: Engine,
        start: Start,
    ) -> None:
        self.stored = Stored(store)
        self.worker = worker
        self.images, self.labels = images, labels
        self.engine, self.start = engine, start
        self._bars: dict[Scenario, Advance] = {}

    def work(self) -> None:
        """All pieces of work of this run's part."""
        with kept_seeds(self.worker.models), self.engine.started(self.worker) as do:
            for stage in self._stages():
                for piece, (column, made) in do(self._pieces(stage)):
                    if made is not None:
                        key = self.stored.key(piece.scenario, column, piece.batch)
                        self.stored.store.save(key, made)
                    self._bars[piece.scenario](len(piece.labels))

    def _stages(self) -> Iterator[list[Scenario]]:
        """Scenarios that do not wait for each other.

        One with more masks waits for those with fewer.
        """
        stage: list[Scenario] = []
        for scenario in self.stored.plan:
            if any(s.same_attack == scenario.same_attack for s in stage):
                yield stage
                stage = []
            if self._is_wanted(scenario):
                stage.append(scenario)
        yield stage

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

    def _pieces(self, scenarios: Sequence[Scenario]) -> Iterator[AttackBatch]:
        """What is left of these scenarios, each with a progress bar."""
        stored = self.stored
        for scenario in scenarios:
            total = len(stored.columns) * len(stored.labels)
            advance = self._bars[scenario] = self.start(scenario.title, total)
            for batch, where in stored.batches():
                labels = self.labels[where]
                left = tuple(
                    column
                    for column in stored.columns
                    if stored.key(scenario, column, batch) not in stored.store
                )
                advance(len(labels) * (len(stored.columns) - len(left)))
                if left:
                    yield AttackBatch(scenario, batch, self.images[where], labels, left)
