"""Plans the attacks of a paper's table on our own trained models."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from keras_maskdef.attacks import Target
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.evaluation.columns import columns_of
from keras_maskdef.evaluation.matched import match_strength
from keras_maskdef.evaluation.scenario import AttackSetting
from keras_maskdef.papers.paper_tables import PaperRow, PaperTable

# Images of the search for a matched epsilon; as many as a batch of the evaluation.
MATCH_IMAGES = 250


@dataclass(frozen=True)
class TableRun:
    """Arguments of `evaluate` to run a table.

    Args:
        attacks: The table's attacks with the paper's epsilons, then with matched ones.
        adaptive: PGD in each norm, with the largest of its epsilons.
        paper: The paper's figures by row, for `evaluate`: `"epsilon"`, and `"attack"`
            and `"defence"` where the table has them.
    """

    attacks: list[AttackSetting]
    adaptive: list[AttackSetting]
    paper: dict[Any, dict[str, float]]


def table_run(
    table: PaperTable,
    defences: Any,
    data: tuple[Any, ...],
    match_images: int = MATCH_IMAGES,
    match_rows: Collection[PaperRow] | None = None,
    cut: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
    start: Start = silent,
) -> TableRun:
    """The attacks of a table, with the paper's epsilons and at matched strength.

    Args:
        table: The table.
        defences: What `evaluate` takes. Epsilons are matched on the base model of the
            last defence.
        data: Images and labels.
        match_images: Number of images, the first ones, to find the epsilons at which
            the attacked base model has the paper's accuracy; 0 for no matching.
            Attacks on a surrogate are not matched: transfer depends on more than the
            base model. Nor are rows without an accuracy in the paper.
        match_rows: The rows to match; all by default.
        cut: By name of an attack, options in place of the table's, such as
            `{"cw": {"steps": 300}}` where the paper's would take days.
        seed: Integer for the attacks.
        start: Starts a progress bar.
    """
    settings = [_setting(row, (cut or {}).get(row.attack, {})) for row in table.rows]
    matched: list[tuple[PaperRow, AttackSetting]] = []
    if match_images and table.undefended and table.threat_model != "surrogate":
        images, labels = data[0][:match_images], data[1][:match_images]
        target = Target(columns_of(defences, images)[-1].defence.classifier)
        advance = start("matching strength", len(table.rows))
        for row, setting in zip(table.rows, settings, strict=True):
            accuracy = row.figures[table.undefended]
            if accuracy is not None and (match_rows is None or row in match_rows):
                match = match_strength(
                    target, (images, labels), setting, accuracy, seed
                )
                matched.append((row, match.setting))
            advance(1)
    paper = {
        (table.threat_model, s.name, s.norm, s.epsilon): _figures(row, table)
        for row, s in [*matched, *zip(table.rows, settings, strict=True)]
    }
    found_sizes = [setting for _, setting in matched]
    attacks = [*settings, *(s for s in found_sizes if s not in settings)]
    return TableRun(attacks, _adaptive([*settings, *found_sizes]), paper)


def _setting(row: PaperRow, cut: Mapping[str, Any]) -> AttackSetting:
    options = {**row.options, **cut}
    return AttackSetting(row.attack, row.norm, row.epsilon, row.library, options)


def _figures(row: PaperRow, table: PaperTable) -> dict[str, float]:
    figures = {
        "attack": _figure(row, table.undefended),
        "defence": _figure(row, table.defended),
        "epsilon": row.epsilon,
    }
    return {name: value for name, value in figures.items() if value is not None}


def _figure(row: PaperRow, column: str | None) -> float | None:
    return None if column is None else row.figures[column]


def _adaptive(settings: list[AttackSetting]) -> list[AttackSetting]:
    """The table's PGD with the largest epsilon of each norm."""
    largest: dict[str, AttackSetting] = {}
    for setting in settings:
        so_far = largest.get(setting.norm)
        if setting.name == "pgd" and (not so_far or so_far.epsilon < setting.epsilon):
            largest[setting.norm] = setting
    return list(largest.values())
