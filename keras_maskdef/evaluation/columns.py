"""The defences of an evaluation and their bare classifiers, one column each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_maskdef.evaluation import fingerprint
from keras_maskdef.evaluation.defence import Defence, as_defences
from keras_maskdef.evaluation.seeding import kept_seeds
from keras_maskdef.layers._structure import split_vote

_FEW = 8


@dataclass(frozen=True)
class Column:
    """A defence under its name.

    Args:
        name: Heading of the column.
        defence: What is judged in it.
        bare: Heading of the column of its bare classifier; its own if it is bare.
        is_random: Whether two judgements of an image can differ.
    """

    name: str
    defence: Defence
    bare: str
    is_random: bool

    @property
    def votes(self) -> int | None:
        """How many views vote, if any."""
        parts = split_vote(self.defence.predict)
        return None if parts is None else parts[1].votes

    @property
    def fingerprint(self) -> str:
        """Tells the defence from others, over processes."""
        return fingerprint.of_model(self.defence.predict)

    @property
    def models(self) -> list[Any]:
        """All that may have a random state."""
        defence = self.defence
        parts = [defence.predict, defence.classifier, defence.gray_box]
        return [*parts, *defence.white_box]

    def classes(self, images: np.ndarray) -> int:
        """How many classes there are."""
        return int(self.defence.outputs(images[:1]).shape[-1])


def columns_of(defences: Any, images: np.ndarray) -> list[Column]:
    """One column for each bare classifier, and one for each defence.

    Classifiers of the same layers and weights are one, such as those of two votes
    that were saved apart.

    Args:
        defences: What `evaluate` takes.
        images: Some images, to see whether judgements of them differ.
    """
    same: dict[str, Any] = {}
    named = {
        name: _canonical(defence, same)
        for name, defence in as_defences(defences).items()
    }
    bare_names: dict[int, str] = {
        id(defence.predict): name for name, defence in named.items()
    }
    bare: dict[str, Defence] = {}
    for name, defence in named.items():
        if id(defence.classifier) not in bare_names:
            heading = _heading(name, named, bare)
            bare_names[id(defence.classifier)] = heading
            bare[heading] = Defence.of_model(defence.classifier)
    return [
        Column(
            name, defence, bare_names[id(defence.classifier)], _varies(defence, images)
        )
        for name, defence in {**bare, **named}.items()
    ]


def _heading(
    name: str, named: Mapping[str, Defence], bare: Mapping[str, Defence]
) -> str:
    taken = {*named, *bare}
    heading = "bare classifier"
    return heading if heading not in taken else f"{heading} of {name}"


def _canonical(defence: Defence, same: dict[str, Any]) -> Defence:
    """The defence with one object for what is the same model."""

    def one(model: Any) -> Any:
        known = fingerprint.of_model(model)
        if not hasattr(model, "weights"):  # a function has no fingerprint
            return model
        return same.setdefault(known, model)

    return replace(
        defence,
        predict=one(defence.predict),
        classifier=one(defence.classifier),
        gray_box=one(defence.gray_box),
        white_box=tuple(one(model) for model in defence.white_box),
    )


def _varies(defence: Defence, images: np.ndarray) -> bool:
    """Also for randomness that is none of this library's."""
    if defence.is_random:
        return True
    few = images[:_FEW]
    with kept_seeds([defence.predict]):
        first, second = (defence.outputs(few) for _ in range(2))
    return not np.array_equal(first, second)
