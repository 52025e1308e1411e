"""Sanity checks: an evaluation that fails one cannot be trusted as it stands.

As in AutoAttack, each check that fails is a warning with its own name.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from keras_maskdef.attacks import AttackInfo, describe
from keras_maskdef.evaluation.outcomes import WITHOUT_GRADIENT
from keras_maskdef.evaluation.rows import Outcomes
from keras_maskdef.results.report import Row

# A difference counts above one image, and above one image in a hundred.
_MARGIN = 0.01
_ABOUT_ZERO = 0.05


class RobustnessWarning(UserWarning):
    """An evaluation that cannot be trusted as it stands."""


class FrozenMasksWarning(RobustnessWarning):
    """The attack does not break one fixed set of masks."""


class NoiseWarning(RobustnessWarning):
    """Random noise harms more than an attack with the same epsilon."""


class SingleStepWarning(RobustnessWarning):
    """A single-step attack harms more than an iterative one."""


class EpsilonWarning(RobustnessWarning):
    """A smaller epsilon harms more than a larger one."""


class GradientFreeWarning(RobustnessWarning):
    """An attack without gradients harms more than one that follows them."""


class KnowledgeWarning(RobustnessWarning):
    """An attacker who knows less of the defence harms more than the adaptive one."""


class ZeroGradientWarning(RobustnessWarning):
    """Many images have a gradient of exactly zero, so no attack can follow it."""


Failure = tuple[type[RobustnessWarning], str]


def failures(
    rows: Sequence[Row], bare: Mapping[str, str] | None = None
) -> list[Failure]:
    """The sanity checks that failed, deterministic for the same rows.

    Args:
        rows: Rows of one evaluation, with its sanity checks (`"noise"`, `"frozen"`).
        bare: By column, the column of its base model, which may be the column itself.
    """
    failed: dict[str, Failure] = {}
    for check in _CHECKS:
        for failure in check(rows):
            failed[failure[1]] = failure
    for check_with_base in (_single_step, _knowledge):
        for failure in check_with_base(rows, bare or {}):
            failed[failure[1]] = failure
    return list(failed.values())


def without_gradient(outcomes: Outcomes) -> Iterator[Failure]:
    """Columns where many images have no gradient.

    For each threat model the attack with the fewest such images counts.

    Args:
        outcomes: Outcomes of one run, sanity checks included.
    """
    shares: dict[tuple[str, str], float] = {}
    for (scenario, column), arrays in outcomes.items():
        if WITHOUT_GRADIENT in arrays:
            key = column, scenario.threat_model
            share = float(arrays[WITHOUT_GRADIENT].mean())
            shares[key] = min(shares.get(key, 1.0), share)
    for (column, threat_model), share in shares.items():
        if share > _ABOUT_ZERO:
            yield (
                ZeroGradientWarning,
                f"{column}: the gradient by the image is exactly zero for {share:.0%} "
                f"of the images ({threat_model}), so no gradient attack can change "
                "them. Look for underflow, saturated activations and operations "
                "without a gradient",
            )


def warn(found: Sequence[Mapping[str, str]]) -> None:
    """Warns of each failed check of a report."""
    categories = {c.__name__: c for c in RobustnessWarning.__subclasses__()}
    for failure in found:
        warnings.warn(failure["message"], categories[failure["name"]], stacklevel=3)


def _frozen(rows: Sequence[Row]) -> Iterator[Failure]:
    largest: dict[tuple, Row] = {}
    for row in rows:
        if row.threat_model == "frozen" and (row.epsilon or 0) > _size(largest, row):
            largest[(row.attack, row.norm)] = row
    for row in largest.values():
        for name, score in row.scores.items():
            if score and score.accuracy > _ABOUT_ZERO:
                yield (
                    FrozenMasksWarning,
                    f"{name}: with its masks frozen, {row.title} leaves "
                    f"{score.accuracy:.1%} robust accuracy. An attack that does not "
                    "break one fixed set of masks does not measure what the randomness "
                    "adds: use more steps or a larger epsilon",
                )


def _size(largest: dict[tuple, Row], row: Row) -> float:
    row_so_far = largest.get((row.attack, row.norm))
    return -1.0 if row_so_far is None else row_so_far.epsilon or 0.0


def _noise(rows: Sequence[Row]) -> Iterator[Failure]:
    for noise in rows:
        if noise.threat_model == "noise":
            # Minimum-norm attacks are left out: they may stay below epsilon.
            same = [
                row
                for row in _attacks(rows)
                if _ball(row) == _ball(noise) and _info(row).kind != "minimal"
            ]
            for row, name in _weaker(noise, same):
                yield (
                    NoiseWarning,
                    f"{name}: {noise.title} harms more than {row.title} "
                    f"({row.threat_model}): the attack does not work on this model",
                )


def _single_step(rows: Sequence[Row], bare: Mapping[str, str]) -> Iterator[Failure]:
    """Skips attacks on a part of the defence: one large step transfers best."""
    whole = ("white_box", "adaptive")
    for single in _of_kind(rows, "single-step"):
        many = [
            r for r in _of_kind(rows, "iterative") if _setting(r) == _setting(single)
        ]
        for row, name in _weaker(single, many):
            if row.threat_model not in whole and bare.get(name, name) != name:
                continue
            yield (
                SingleStepWarning,
                f"{name}: {single.title} harms more than {row.title} "
                f"({row.threat_model}): gradients are masked, or there are too few "
                "steps",
            )


def _epsilon(rows: Sequence[Row]) -> Iterator[Failure]:
    for small in _attacks(rows):
        larger = [
            row
            for row in _attacks(rows)
            if _but_for_its_size(row) == _but_for_its_size(small)
            and (row.epsilon or 0) > (small.epsilon or 0)
        ]
        for row, name in _weaker(small, larger):
            yield (
                EpsilonWarning,
                f"{name}: {small.title} harms more than {row.title} "
                f"({row.threat_model})",
            )


def _gradient_free(rows: Sequence[Row]) -> Iterator[Failure]:
    """Compares with the strongest gradient attack that knows the whole defence."""
    whole = ("white_box", "adaptive")
    with_gradient = [
        r for r in _attacks(rows) if r.threat_model in whole and _uses_gradient(r)
    ]
    for free in _attacks(rows):
        if _uses_gradient(free):
            continue
        same = [row for row in with_gradient if _ball(row) == _ball(free)]
        for name, score in free.scores.items():
            left = [r.scores[name].accuracy for r in same if r.scores.get(name)]  # type: ignore[union-attr]
            if score and left and min(left) > score.accuracy + _margin(score.images):
                yield (
                    GradientFreeWarning,
                    f"{name}: {free.title}, which needs no gradient, harms more than "
                    "every gradient attack that knows the defence: gradients are "
                    "masked",
                )


def _knowledge(rows: Sequence[Row], bare: Mapping[str, str]) -> Iterator[Failure]:
    """Compares the adaptive attack at its strongest with less knowing attackers.

    Base models are skipped: there is nothing less to know, and random starts differ.
    """
    adaptive = [row for row in _attacks(rows) if row.threat_model == "adaptive"]
    for row in _attacks(rows):
        same = [other for other in adaptive if _attack(other) == _attack(row)]
        for name, score in row.scores.items():
            if bare.get(name) == name:
                continue
            left = [r.scores[name].accuracy for r in same if r.scores.get(name)]  # type: ignore[union-attr]
            if score and left and min(left) > score.accuracy + _margin(score.images):
                yield (
                    KnowledgeWarning,
                    f"{name}: {row.title} by an attacker who knows less "
                    f"({row.threat_model}) harms more than the adaptive attack: that "
                    "has too few steps or EOT samples, or gradients are masked",
                )


_CHECKS: tuple[Callable[[Sequence[Row]], Iterator[Failure]], ...] = (
    _frozen,
    _noise,
    _epsilon,
    _gradient_free,
)


def _weaker(weak: Row, strong: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """Yields where the supposedly stronger attack leaves clearly more accuracy."""
    for row in strong:
        for name, score in weak.scores.items():
            other = row.scores.get(name)
            if score and other:
                if other.accuracy > score.accuracy + _margin(score.images):
                    yield row, name


def _margin(images: int) -> float:
    return max(_MARGIN, 1.5 / images)


def _attacks(rows: Sequence[Row]) -> list[Row]:
    return [
        r for r in rows if r.threat_model not in ("none", "noise", "frozen", "union")
    ]


def _of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    return [
        row for row in _attacks(rows) if _info(row).kind == kind and _uses_gradient(row)
    ]


def _uses_gradient(row: Row) -> bool:
    return _info(row).uses_gradient


def _info(row: Row) -> AttackInfo:
    return describe(row.attack, row.norm or "linf", row.library)


def _attack(row: Row) -> tuple[str, str | None, float | None]:
    return row.attack, row.norm, row.epsilon


def _ball(row: Row) -> tuple[str | None, float | None]:
    return row.norm, row.epsilon


def _but_for_its_size(row: Row) -> Row:
    return replace(row, epsilon=None, scores={}, paper=None)


def _setting(row: Row) -> tuple:
    return row.norm, row.epsilon, row.threat_model, row.samples
