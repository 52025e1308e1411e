"""Does the pending work of a run and stores the outcomes."""

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
    """Does the work that a run has not done yet, and stores the outcomes.

    Args:
        store: The folder of the run.
        worker: Attacks and predicts one batch.
        images: `(n, height, width, channels)`, float32 in the run's `value_range`.
        labels: `(n,)`.
        engine: Where the worker runs.
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
        """Does all pending work of this shard."""
        with kept_seeds(self.worker.models), self.engine.started(self.worker) as do:
            for stage in self._stages():
                for piece, (column, arrays) in do(self._pieces(stage)):
                    if arrays is not None:
                        key = self.stored.key(piece.scenario, column, piece.batch)
                        self.stored.store.save(key, arrays)
                    self._bars[piece.scenario](len(piece.labels))

    def _stages(self) -> Iterator[list[Scenario]]:
        """Groups of scenarios that do not wait for each other.

        A scenario with more EOT samples waits for those with fewer.
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
        """Whether more EOT samples may still make the attack stronger.

        A shard cannot tell, and runs all of them.
        """
        stored = self.stored
        if scenario.threat_model != "adaptive" or stored.is_part:
            return True
        plan = [s for s in stored.plan if s.same_attack == scenario.same_attack]
        done = stored.outcomes(plan[: plan.index(scenario)])
        return scenario in settled(plan, done, stored.labels, stored.is_random)

    def _pieces(self, scenarios: Sequence[Scenario]) -> Iterator[AttackBatch]:
        """The pending batches of these scenarios; starts a progress bar for each."""
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
