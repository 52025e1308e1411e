"""What the folder of a run says, without the models that made it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_maskdef._run_folder import Arrays, RunFolder
from keras_maskdef.evaluation.results import Outcomes
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.layers._value_range import UNIT, check_value_range

LABELS = "labels.npz"


class Stored:
    """The configuration of a run, and its outcomes put together.

    Args:
        store: The folder.
    """

    def __init__(self, store: RunFolder) -> None:
        self.store = store
        self.config = config = store.config
        self.plan = [Scenario.from_dict(plain) for plain in config["plan"]]
        self.columns: list[str] = [column["name"] for column in config["columns"]]
        self.bare = {column["name"]: column["bare"] for column in config["columns"]}
        self.is_random = {c["name"]: c["is_random"] for c in config["columns"]}
        self.seed: int = config["seed"]
        self.judgements: int = config["judgements"]
        self.value_range = check_value_range(config.get("value_range", UNIT))
        self._shard, self._shards = config["shard"]

    @property
    def is_part(self) -> bool:
        """Whether other parts of the run are done elsewhere."""
        return self._shards > 1

    @property
    def labels(self) -> np.ndarray:
        """The labels of this part's images."""
        labels = self.store.load_arrays(LABELS)["labels"]
        return np.concatenate([labels[where] for _, where in self.batches()])

    def batches(self) -> Iterator[tuple[int, slice]]:
        """Number and place of each batch of this part."""
        size, images = self.config["batch_size"], self.config["images"]
        for batch, first in enumerate(range(0, images, size)):
            if batch % self._shards == self._shard - 1:
                yield batch, slice(first, min(first + size, images))

    def key(self, scenario: Scenario, column: str, batch: int) -> str:
        """The name of a piece of work."""
        name = scenario.key if self.is_random[column] else scenario.key_without_samples
        return f"{name}--{self.columns.index(column):02d}--{batch:05d}"

    def outcomes(self, plan: Sequence[Scenario] | None = None) -> Outcomes:
        """The outcomes of all batches, by scenario and column.

        Args:
            plan: Which scenarios; all by default. One of which nothing is done is left
                out.

        Raises:
            ValueError: If a batch is done and another is not.
        """
        found = {}
        for scenario in self.plan if plan is None else plan:
            for column in self.columns:
                whole = self._whole(scenario, column)
                if whole is not None:
                    found[scenario, column] = whole
        return found

    def examples(self, scenario: Scenario, column: str) -> np.ndarray | None:
        """Adversarial images of the first batch, `(epsilons, 8, ...)`."""
        key = self.key(scenario, column, 0)
        return self.store.load(key)["examples"] if key in self.store else None

    def _whole(self, scenario: Scenario, column: str) -> Arrays | None:
        keys = [self.key(scenario, column, batch) for batch, _ in self.batches()]
        there = [key in self.store for key in keys]
        if not any(there):
            return None
        if not all(there):
            missing = keys[there.index(False)]
            raise ValueError(
                "The folder must hold a run that is done; resume this one first. "
                f"Received: {self.store.path}, without {missing}"
            )
        parts = [self.store.load(key) for key in keys]
        names = [name for name in parts[0] if name != "examples"]
        return {
            name: np.concatenate([part[name] for part in parts], axis=-1)
            for name in names
        }


def column_config(column: Any, images: np.ndarray) -> dict[str, Any]:
    """What a configuration says of a column."""
    return {
        "name": column.name,
        "fingerprint": column.fingerprint(images),
        "bare": column.bare,
        "votes": column.votes,
        "is_random": column.is_random,
    }
