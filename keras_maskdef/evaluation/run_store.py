"""What the folder of a run says, without the models that made it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_maskdef.attacks import describe
from keras_maskdef.core.checked_files import (
    Arrays,
    Form,
    check_arrays,
    damaged,
    read_json,
)
from keras_maskdef.core.run_folder import CONFIG, RunFolder
from keras_maskdef.core.value_range import UNIT, check_value_range, span
from keras_maskdef.evaluation.outcomes import WITHOUT_GRADIENT
from keras_maskdef.evaluation.rows import CONTROLS, Outcomes
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.evaluation.threat_models import THREAT_MODELS
from keras_maskdef.results.report import CLEAN
from keras_maskdef.results.saved_run import FAR

LABELS = "labels.npz"
_EXAMPLES = "examples"


class Stored:
    """The configuration of a run, and its outcomes put together.

    Args:
        store: The folder.

    Raises:
        OSError: If the configuration is none that a run writes.
    """

    def __init__(self, store: RunFolder) -> None:
        self.store = store
        path = store.path / CONFIG
        self.config = config = read_json(path, "evaluation-config")
        self.columns: list[str] = [column["name"] for column in config["columns"]]
        self.bare = {column["name"]: column["bare"] for column in config["columns"]}
        self.is_random = {c["name"]: c["is_random"] for c in config["columns"]}
        self._votes = {column["name"]: column["votes"] for column in config["columns"]}
        self.seed: int = config["seed"]
        self.judgements: int = config["judgements"]
        self._shard, self._shards = config["shard"]
        try:
            self.plan = [_scenario(plain) for plain in config["plan"]]
            self.value_range = check_value_range(config.get("value_range", UNIT))
            self._check()
        except ValueError as error:
            raise damaged(path, str(error)) from error

    @property
    def is_part(self) -> bool:
        """Whether other parts of the run are done elsewhere."""
        return self._shards > 1

    @property
    def labels(self) -> np.ndarray:
        """The labels of this part's images."""
        labels = self.all_labels()
        batch = np.arange(len(labels)) // self.config["batch_size"]
        return labels[batch % self._shards == self._shard - 1]

    def all_labels(self) -> np.ndarray:
        """The labels of the images of all parts.

        Raises:
            OSError: If they are damaged.
        """
        path = self.store.path / LABELS
        images, last = self.config["images"], len(self.config["class_names"]) - 1
        forms = {"labels": Form("iu", (images,), 0, last)}
        return check_arrays(path, self.store.load_arrays(LABELS), forms)["labels"]

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
        """The outcomes of all batches, by scenario and column, without examples.

        Args:
            plan: Which scenarios; all by default. One of which nothing is done is left
                out.

        Raises:
            OSError: If a file is damaged.
            ValueError: If a batch is done and another is not.
        """
        return {
            (scenario, column): self._whole(scenario, column, keys)
            for scenario, column, keys in self.done(plan)
        }

    def done(
        self, plan: Sequence[Scenario] | None = None
    ) -> Iterator[tuple[Scenario, str, list[str]]]:
        """Scenario, column, and the keys of all batches, where they are done.

        Args:
            plan: Which scenarios; all by default.

        Raises:
            ValueError: If a batch is done and another is not.
        """
        there = {*self.store.keys()}
        # The work is as much as there are files, whatever a configuration says.
        begun = Counter(key.rpartition("--")[0] for key in there)
        for scenario in self.plan if plan is None else plan:
            for column in self.columns:
                if self.key(scenario, column, 0).rpartition("--")[0] in begun:
                    keys = self._keys(scenario, column, there)
                    if keys:
                        yield scenario, column, keys

    def load(self, scenario: Scenario, column: str, key: str) -> Arrays:
        """All arrays of a piece of work.

        Raises:
            OSError: If the file is damaged.
        """
        forms = self._forms(scenario, column, key)
        found = self.store.load(key)
        return check_arrays(self.store.outcome(key), found, forms)

    def examples(self, scenario: Scenario, column: str) -> np.ndarray | None:
        """Adversarial images of the first batch, `(epsilons, 8, ...)`."""
        key = self.key(scenario, column, 0)
        if key not in self.store:
            return None
        return self.load(scenario, column, key)[_EXAMPLES]

    def _check(self) -> None:
        """What no schema can say."""
        unknown = [name for name in self.bare.values() if name not in self.bare]
        if len(self.bare) < len(self.columns) or unknown:
            raise ValueError(
                f"columns {self.columns} with bare classifiers {[*self.bare.values()]}"
            )
        keys = {scenario.key for scenario in self.plan}
        if self.plan[0].threat_model != CLEAN or len(keys) < len(self.plan):
            raise ValueError("a plan that begins with an attack, or has one twice")
        if not 1 <= self._shard <= self._shards:
            raise ValueError(f"part {self._shard} of {self._shards}")

    def _keys(self, scenario: Scenario, column: str, there: set[str]) -> list[str]:
        """Of all batches; none where none is done."""
        keys, missing = [], None
        for batch, _ in self.batches():
            key = self.key(scenario, column, batch)
            if key in there:
                keys.append(key)
            elif missing is None:
                missing = key
            if keys and missing is not None:
                raise ValueError(
                    "The folder must hold a run that is done; resume this one first. "
                    f"Received: {self.store.path}, without {missing}"
                )
        return keys

    def _whole(self, scenario: Scenario, column: str, keys: list[str]) -> Arrays:
        parts: list[Arrays] = []
        for key in keys:
            path = self.store.outcome(key)
            forms = self._forms(scenario, column, key)
            del forms[_EXAMPLES]
            part = check_arrays(path, self.store.load(key, (_EXAMPLES,)), forms)
            if parts and _but_for_images(part) != _but_for_images(parts[0]):
                raise damaged(path, f"its arrays are not those of {keys[0]}")
            parts.append(part)
        return {
            name: np.concatenate([part[name] for part in parts], axis=-1)
            for name in parts[0]
        }

    def _forms(self, scenario: Scenario, column: str, key: str) -> dict[str, Form]:
        """The arrays that a piece of work must have made."""
        first = int(key.rpartition("--")[2]) * self.config["batch_size"]
        images = min(self.config["batch_size"], self.config["images"] - first)
        sizes, last = len(scenario.epsilons), len(self.config["class_names"]) - 1
        # With its masks frozen a defence is not random, and no views of it vote.
        is_frozen = scenario.threat_model == "frozen"
        is_random = self.is_random[column] and not is_frozen
        repeats = self.judgements if is_random else 1
        low, far = self.value_range[0], FAR * span(self.value_range)
        forms = {
            "predictions": Form("iu", (sizes, repeats, images), 0, last),
            "sizes": Form("f", (sizes, images)),
            _EXAMPLES: Form("f", (sizes, *[None] * 4), low - far, low + far),
            WITHOUT_GRADIENT: Form("b", (images,), optional=True),
        }
        votes = self._votes[column]
        if votes and not is_frozen:
            forms["votes"] = Form("iu", (sizes, 2 * votes, images), 0, last)
        return forms


def _scenario(plain: dict[str, Any]) -> Scenario:
    """One that can have been run, so that no name of a file leads elsewhere."""
    scenario = Scenario.from_dict(plain)
    if scenario.threat_model not in (CLEAN, *CONTROLS, *THREAT_MODELS):
        raise ValueError(f"an unknown threat model {scenario.threat_model!r}")
    if scenario.attack != "clean":
        describe(scenario.attack, scenario.norm or "linf", scenario.library)
    return scenario


def _but_for_images(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: array.shape[:-1] for name, array in arrays.items()}


def column_config(column: Any, images: np.ndarray) -> dict[str, Any]:
    """What a configuration says of a column."""
    return {
        "name": column.name,
        "fingerprint": column.fingerprint(images),
        "bare": column.bare,
        "votes": column.votes,
        "is_random": column.is_random,
    }
