"""The columns of an evaluation: its defences and their base models."""

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
    """A column: a defence and its heading.

    Args:
        name: Heading of the column.
        defence: The defence that predicts.
        bare: Heading of the column of its base model; its own for a base model.
        is_random: Whether two predictions of an image can differ.
    """

    name: str
    defence: Defence
    bare: str
    is_random: bool

    @property
    def votes(self) -> int | None:
        """Number of views that vote; None without a vote."""
        return None if self.defence.vote is None else self.defence.vote[1].votes

    def fingerprint(self, images: np.ndarray) -> list[str | None]:
        """Digests that identify the defence across processes.

        A part that is not a Keras model, or whose configuration is incomplete, has no
        digest (None). Then a digest of the defence's outputs for some images is added,
        unless the defence is random.
        """
        parts = [fingerprint.of_model(model) for model in self.models]
        if None in parts and not self.is_random:
            parts.append(fingerprint.of_arrays(self.defence.outputs(images[:FEW])))
        return parts

    @property
    def models(self) -> list[Any]:
        """The models that may have a random state."""
        defence = self.defence
        parts = [defence.predict, defence.classifier, defence.gray_box]
        return [*parts, *defence.white_box]

    def classes(self, images: np.ndarray) -> int:
        """Number of classes."""
        return int(self.defence.outputs(images[:1]).shape[-1])


def columns_of(
    defences: Any, images: np.ndarray, value_range: ValueRange | None = None
) -> list[Column]:
    """One column for each base model, and one for each defence.

    Base models with the same layers and weights share a column, such as those of two
    votes that were saved separately.

    Args:
        defences: What `evaluate` takes.
        images: Some images, to test whether repeated predictions differ.
        value_range: Their range, which every defence must expect; None for any.

    Raises:
        ValueError: For a defence that is known to expect another range.
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
    """Checks ranges: a filter for [0, 1] does too little or too much on [0, 255]."""
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
    """The base model, even if it contains masks or filters of this library."""
    return replace(
        Defence.of_model(classifier), classifier=classifier, gray_box=classifier
    )


def _is_bare(defence: Defence) -> bool:
    """Whether it equals its classifier: the same configuration and weights."""
    digest = fingerprint.of_model(defence.predict)
    return digest is not None and digest == fingerprint.of_model(defence.classifier)


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
    """The defence, with equal classifiers replaced by one object."""
    digest = fingerprint.of_model(defence.classifier)
    if digest is None:
        return defence
    classifier = same.setdefault(digest, defence.classifier)
    gray_box = defence.gray_box
    if gray_box is defence.classifier:
        gray_box = classifier
    return replace(defence, classifier=classifier, gray_box=gray_box)


def _varies(defence: Defence, images: np.ndarray) -> bool:
    """Whether predictions vary, also by randomness from outside this library."""
    if defence.is_random:
        return True
    few = images[:FEW]
    with kept_seeds([defence.predict]):
        first, second = (defence.outputs(few) for _ in range(2))
    return not np.array_equal(first, second)
