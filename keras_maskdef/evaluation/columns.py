"""The defences of an evaluation and their bare classifiers, one column each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_maskdef.backend.seeding import kept_seeds
from keras_maskdef.core import fingerprint as fingerprint
from keras_maskdef.core.value_range import ValueRange
from keras_maskdef.evaluation.defence import Defence, as_defences

FEW = 8


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
        return None if self.defence.vote is None else self.defence.vote[1].votes

    def fingerprint(self, images: np.ndarray) -> list[str | None]:
        """Tells the defence from others, over processes.

        Of what is no Keras model, or tells not all of itself, only what it makes of
        some images is known; where it is random, nothing.
        """
        parts = [fingerprint.of_model(model) for model in self.models]
        if None in parts and not self.is_random:
            parts.append(fingerprint.of_arrays(self.defence.outputs(images[:FEW])))
        return parts

    @property
    def models(self) -> list[Any]:
        """All that may have a random state."""
        defence = self.defence
        parts = [defence.predict, defence.classifier, defence.gray_box]
        return [*parts, *defence.white_box]

    def classes(self, images: np.ndarray) -> int:
        """How many classes there are."""
        return int(self.defence.outputs(images[:1]).shape[-1])


def columns_of(
    defences: Any, images: np.ndarray, value_range: ValueRange | None = None
) -> list[Column]:
    """One column for each bare classifier, and one for each defence.

    Classifiers of the same layers and weights are one, such as those of two votes
    that were saved apart.

    Args:
        defences: What `evaluate` takes.
        images: Some images, to see whether judgements of them differ.
        value_range: Their range, which defences must be made for; None for any.

    Raises:
        ValueError: For a defence that is known to be made for another range.
    """
    same: dict[str, Any] = {}
    named = {
        name: _with_one_classifier(defence, same)
        for name, defence in as_defences(defences).items()
    }
    if value_range is not None:
        _check_ranges(named, value_range)
    bare_names: dict[int, str] = {}
    for name, defence in named.items():
        if defence.classifier is defence.predict or _is_bare(defence):
            bare_names.setdefault(id(defence.classifier), name)
    bare: dict[str, Defence] = {}
    for name, defence in named.items():
        if id(defence.classifier) not in bare_names:
            heading = _heading(name, named, bare)
            bare_names[id(defence.classifier)] = heading
            bare[heading] = _as_bare(defence.classifier)
    return [
        Column(
            name, defence, bare_names[id(defence.classifier)], _varies(defence, images)
        )
        for name, defence in {**bare, **named}.items()
    ]


def _check_ranges(named: Mapping[str, Defence], value_range: ValueRange) -> None:
    """A filter for [0, 1] does nothing to images in [0, 255], or all too much."""
    for name, defence in named.items():
        other = {
            part: made_for
            for part, made_for in defence.value_ranges.items()
            if made_for != value_range
        }
        if other:
            raise ValueError(
                "`value_range` must be that which defences are made for; `defend` and "
                "`baselines` have the argument, too. Received: "
                f"value_range={value_range}, and of defences[{name!r}] {other}"
            )


def _as_bare(classifier: Any) -> Defence:
    """Also where it has masks or filters of its own, which a `Defence` may leave it."""
    return replace(
        Defence.of_model(classifier), classifier=classifier, gray_box=classifier
    )


def _is_bare(defence: Defence) -> bool:
    """Also where another model of the same weights stands for its classifier."""
    known = fingerprint.of_model(defence.predict)
    return known is not None and known == fingerprint.of_model(defence.classifier)


def _heading(
    name: str, named: Mapping[str, Defence], bare: Mapping[str, Defence]
) -> str:
    taken = {*named, *bare}
    heading = "bare classifier"
    if heading in taken:
        heading = f"{heading} of {name}"
    while heading in taken:
        heading = f"{heading} (bare)"
    return heading


def _with_one_classifier(defence: Defence, same: dict[str, Any]) -> Defence:
    """The defence with one classifier for what is the same."""
    known = fingerprint.of_model(defence.classifier)
    if known is None:
        return defence
    classifier = same.setdefault(known, defence.classifier)
    gray_box = defence.gray_box
    if gray_box is defence.classifier:
        gray_box = classifier
    return replace(defence, classifier=classifier, gray_box=gray_box)


def _varies(defence: Defence, images: np.ndarray) -> bool:
    """Also for randomness that is none of this library's."""
    if defence.is_random:
        return True
    few = images[:FEW]
    with kept_seeds([defence.predict]):
        first, second = (defence.outputs(few) for _ in range(2))
    return not np.array_equal(first, second)
