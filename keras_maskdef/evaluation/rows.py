"""Turns the outcomes of a run into the rows of its report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_maskdef.core.checked_files import Arrays
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.results.report import Row
from keras_maskdef.results.score import Score

WORST = "the worst of all"
# Threat models of sanity checks: they test an attack, not a defence.
CONTROLS = ("noise", "frozen")
# By scenario and column; pairs without a model to attack are left out.
Outcomes = Mapping[tuple[Scenario, str], Arrays]


def right(outcome: Arrays, labels: np.ndarray) -> np.ndarray:
    """The share of repeats that predict the true class, `(epsilons, n)`."""
    return (outcome["predictions"] == labels).mean(axis=1)


def rows_of(
    plan: Sequence[Scenario],
    outcomes: Outcomes,
    bare: Mapping[str, str],
    labels: np.ndarray,
) -> list[Row]:
    """One row for each attack and epsilon, and the worst case as the last row.

    Args:
        plan: The scenarios, the clean one first.
        outcomes: Outcomes of all images.
        bare: The column of each defence's base model.
        labels: The true classes, `(n,)`.
    """
    plan = [scenario for scenario in plan if _ran(scenario, outcomes, bare)]
    first = {name: right(outcomes[plan[0], name], labels)[0] == 1 for name in bare}
    right_before = {name: first[bare[name]] for name in bare}
    rows = [
        _row(scenario, number, outcomes, right_before, labels)
        for scenario in plan
        for number in range(len(scenario.epsilons))
    ]
    return [*rows, _worst(plan, outcomes, right_before, labels)]


def still_falling(
    scenarios: Sequence[Scenario], outcomes: Outcomes, labels: np.ndarray
) -> bool:
    """Whether the last increase of EOT samples made an adaptive attack stronger.

    Args:
        scenarios: The same attack with rising numbers of EOT samples, all done.
        outcomes: Their outcomes.
        labels: The true classes.
    """
    if len(scenarios) < 2:
        return True
    names = {name for scenario, name in outcomes if scenario == scenarios[-1]}
    for name in names:
        accuracies = np.array(
            [right(outcomes[s, name], labels).mean(axis=1) for s in scenarios]
        )
        if (accuracies[-1] < accuracies[:-1].min(axis=0)).any():
            return True
    return False


def settled(
    plan: Sequence[Scenario],
    outcomes: Outcomes,
    labels: np.ndarray,
    is_random: Mapping[str, bool],
) -> list[Scenario]:
    """The plan up to the first number of EOT samples that changed nothing."""
    kept: list[Scenario] = []
    for scenario in plan:
        if scenario.threat_model == "adaptive":
            before = [s for s in kept if s.same_attack == scenario.same_attack]
            random = {
                key: value for key, value in outcomes.items() if is_random[key[1]]
            }
            if before and not random:
                continue
            if before and not still_falling(before, random, labels):
                continue
        kept.append(scenario)
    return kept


def _ran(scenario: Scenario, outcomes: Outcomes, names: Mapping[str, str]) -> bool:
    return any((scenario, name) in outcomes for name in names)


def _row(
    scenario: Scenario,
    number: int,
    outcomes: Outcomes,
    known: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> Row:
    scores: dict[str, Score | None] = {}
    for name in known:
        outcome = outcomes.get((scenario, name))
        scores[name] = (
            None
            if outcome is None
            else _score(
                right(outcome, labels)[number],
                known[name],
                _votes(outcome, number, labels),
            )
        )
    clean = scenario.threat_model == "none"
    return Row(
        scenario.attack,
        scenario.norm,
        None if clean else scenario.epsilons[number],
        scenario.threat_model,
        scores,
        library=scenario.library,
        samples=scenario.samples,
        options=dict(scenario.options),
    )


def _worst(
    plan: Sequence[Scenario],
    outcomes: Outcomes,
    known: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> Row:
    """The worst case: each image counts by the attack that harms it most."""
    scores: dict[str, Score | None] = {}
    for name in known:
        shares = [
            right(outcomes[scenario, name], labels)
            for scenario in plan
            if scenario.threat_model not in CONTROLS and (scenario, name) in outcomes
        ]
        scores[name] = _score(np.concatenate(shares).min(axis=0), known[name], None)
    return Row(WORST, None, None, "union", scores)


def _score(
    share: np.ndarray, known: np.ndarray, votes: tuple[float, ...] | None
) -> Score:
    count = int(known.sum())
    return Score(
        float(share.mean()),
        len(share),
        worst=float((share == 1).mean()),
        conditional=float(share[known].mean()) if count else None,
        conditional_images=count,
        votes=votes,
    )


def _votes(
    outcome: Arrays, number: int, labels: np.ndarray
) -> tuple[float, ...] | None:
    if "votes" not in outcome:
        return None
    return tuple(float(x) for x in (outcome["votes"][number] == labels).mean(axis=1))


def with_paper(rows: Sequence[Row], figures: Mapping[Any, Any]) -> list[Row]:
    """The rows with the paper's figures added.

    Args:
        rows: Rows of a report.
        figures: The paper's figures by `(threat model, attack, norm, epsilon)`.
    """
    return [
        replace(
            row,
            paper=figures.get((row.threat_model, row.attack, row.norm, row.epsilon)),
        )
        for row in rows
    ]
