"""A recipe for a table of attacks."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_maskdef.core.atomic_files import own_folder
from keras_maskdef.core.extras import require
from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.evaluation.evaluate import evaluate
from keras_maskdef.evaluation.scenario import AttackSetting
from keras_maskdef.evaluation.threat_models import SAMPLES
from keras_maskdef.papers.attack_plot import plot_beside
from keras_maskdef.papers.defences import Compared
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.paper_evaluation import TableRun, table_run
from keras_maskdef.papers.paper_tables import TABLES, PaperRow, PaperTable
from keras_maskdef.papers.recipe import Cuts, Recipe
from keras_maskdef.papers.report_rows import (
    NOTES,
    cell,
    columns,
    is_quoted,
    ordered,
    title,
)
from keras_maskdef.papers.result_table import ResultTable
from keras_maskdef.results import Report, Row
from keras_maskdef.results.saved_run import read_speed

KNOWN = {
    "surrogate": "a surrogate only",
    "classifier": "the base model of each column",
    "gray_box": "the classifier and its masker",
    "white_box": "the whole defence",
}
RUN, MATCHED = "run", "matched.json"


@dataclass(frozen=True, kw_only=True)
class AttackTable(Recipe):
    """Defences under the attacks of a table, and under an adaptive one.

    Args:
        table_name: A key of `TABLES`: attacks, threat model and the paper's figures.
        defences: The attacked defences, by heading of their column.
        beside: By heading, the paper's column to compare with, if there is one.
        not_built: The paper's columns of methods that are not in this library.
        surrogate: The independently trained network of a black box.
        threat_models: Threat models; the table's by default.
        only: Names of the attacks that are run; all of the table by default.
        first_size: Whether each attack and norm is run with its first epsilon only.
        match_images: Images of the search for matched epsilons; 0 for none.
        match_first_size: Whether only the first epsilon of each attack and norm is
            matched.
        options: By name of an attack, options in place of the table's.
        adaptive_norms: Norms of the adaptive attack; all of the table by default.
        adaptive_options: Options of the adaptive attack.
        samples: Numbers of EOT samples of the adaptive attack.
        judgements: Repeats of each prediction, for a random defence.
        checks: Whether the sanity checks are run.
        batch_size: Images attacked at once.
    """

    table_name: str
    defences: Mapping[str, Any] = field(hash=False)
    beside: Mapping[str, str] = field(default_factory=dict, hash=False)
    not_built: tuple[str, ...] = ()
    surrogate: Network | None = None
    threat_models: tuple[str, ...] | None = None
    only: tuple[str, ...] | None = None
    first_size: bool = False
    match_images: int = 250
    match_first_size: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    adaptive_norms: tuple[str, ...] | None = None
    adaptive_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    samples: tuple[int, ...] = SAMPLES
    judgements: int = 10
    checks: bool = True
    batch_size: int = 250

    @property
    def paper(self) -> PaperTable:
        """The paper's table, with the rows that are run."""
        table = TABLES[self.table_name]
        rows = [row for row in table.rows if row.attack in (self.only or row.attack)]
        if self.first_size:
            rows = first_sizes(rows)
        return replace(table, rows=tuple(rows))

    def cut(self, cuts: Cuts) -> "AttackTable":
        """Reduces the recipe, and drops the columns that are left out."""
        small = super().cut(cuts)
        assert isinstance(small, AttackTable)
        if cuts.columns is None:
            return small
        kept = {name: small.defences[name] for name in cuts.columns}
        return replace(small, defences=kept)

    def cuts(self) -> list[str]:
        """Descriptions of what is reduced, and the columns that are left out."""
        small = self.at("cpu")
        assert isinstance(small, AttackTable)
        left_out = [name for name in self.defences if name not in small.defences]
        lines = super().cuts()
        return [*lines, f"left out: {', '.join(left_out)}"] if left_out else lines

    def check(self) -> None:
        """Checks for the libraries of its attacks and baselines."""
        for library in {row.library for row in self.paper.rows} - {"keras_maskdef"}:
            require(library, "attacks")
        if any(isinstance(defence, Compared) for defence in self.defences.values()):
            for library in ("art", "skimage"):
                require(library, "baselines")

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """Evaluates the defences; returns `Report.to_dict()`."""
        defences = {
            name: setting.build(models) for name, setting in self.defences.items()
        }
        test = models.data(self.dataset, "held out", self.images)
        plan = self._plan(defences, test, store, start)
        surrogate = self.surrogate
        report = evaluate(
            defences,
            test,
            plan.attacks,
            self._threat_models(),
            adaptive=plan.adaptive,
            surrogate=None if surrogate is None else models(surrogate),
            eot_samples=self.samples,
            repeats=self.judgements,
            batch_size=self.batch_size,
            seed=self.seed,
            sanity_checks=self.checks,
            folder=own_folder(store.path / RUN),
            resume=True,
            paper=plan.paper,
            start=start,
        )
        result = report.to_dict()
        if any(column["votes"] for column in result["defences"].values()):
            result["speed"] = read_speed(store.path / RUN)
        return result

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """The table; cells of columns that the paper has hold both figures."""
        report = Report.from_dict(result)
        rows, names = ordered(report.rows), columns(report)
        headings = [
            f"{report.heading(name)}{' (paper / here)' * (name in self.beside)}"
            for name in names
        ]
        cells = [
            (title(row), *(self._cell(row, name) for name in names)) for row in rows
        ]
        not_built = [f"Not built: {', '.join(self.not_built)}."] * bool(self.not_built)
        images = report.settings["images"]
        parts = [KNOWN[name] for name in self._threat_models()]
        notes = [
            f"{images:,} test images. The paper's attacks know {' or '.join(parts)}.",
            *NOTES[self.counts],
            *not_built,
            *_warned(report),
        ]
        bold = frozenset(number for number, row in enumerate(rows) if is_quoted(row))
        return ResultTable(("attack", *headings), cells, notes, bold)

    def _threat_models(self) -> tuple[str, ...]:
        return self.threat_models or (self.paper.threat_model,)

    @property
    def counts(self) -> str:
        """The images that the paper counts, a key of `NOTES`."""
        return "right before" if self.table_name.startswith("mad/") else "all"

    def _cell(self, row: Row, name: str) -> str:
        here = cell(row, name, self.counts)
        if name not in self.beside or row.scores[name] is None:
            return here
        paper = self.paper_figure(row, self.beside[name])
        return here if paper is None else f"{100 * paper:.1f} / {here}"

    def paper_figure(self, row: Row, column: str) -> float | None:
        """The paper's accuracy for a row of the report; None without one."""
        if row.threat_model == "none":
            return self.paper.clean.get(column)
        if row.paper is None:
            return None
        key = (row.attack, row.norm, row.paper["epsilon"])
        for paper_row in self.paper.rows:
            if (paper_row.attack, paper_row.norm, paper_row.epsilon) == key:
                return paper_row.figures[column]
        return None

    def plot(self, result: Mapping[str, Any], path: Path) -> bool:
        """Draws a dot for each row and column; the paper's are hollow."""
        plot_beside(self, result, path)
        return True

    def _plan(self, defences: Any, test: Any, store: RunFolder, start: Any) -> TableRun:
        """The attacks; matched epsilons take minutes and are searched only once."""

        def search() -> dict[str, Any]:
            return self._searched(defences, test, start)

        planned = store.kept(MATCHED, search)
        return TableRun(
            [AttackSetting(**setting) for setting in planned["attacks"]],
            [AttackSetting(**setting) for setting in planned["adaptive"]],
            {tuple(key): figures for key, figures in planned["paper"]},
        )

    def _searched(self, defences: Any, test: Any, start: Any) -> dict[str, Any]:
        """The attacks as plain data."""
        plan = table_run(
            self.paper,
            defences,
            test,
            self.match_images,
            first_sizes(self.paper.rows) if self.match_first_size else None,
            self.options,
            self.seed,
            start,
        )
        norms = self.adaptive_norms
        adaptive = [
            replace(setting, options={**dict(setting.options), **self.adaptive_options})
            for setting in plan.adaptive
            if norms is None or setting.norm in norms
        ]
        return {
            "attacks": [asdict(setting) for setting in plan.attacks],
            "adaptive": [asdict(setting) for setting in adaptive],
            "paper": [[list(key), figures] for key, figures in plan.paper.items()],
        }


def _warned(report: Report) -> list[str]:
    """The warnings; those with the same text share a line."""
    by_text: dict[tuple[str, str], list[str]] = {}
    for warning in report.warnings:
        column, _, text = warning["message"].partition(": ")
        by_text.setdefault((warning["name"], text), []).append(report.heading(column))
    return [
        f"{name}: {', '.join(headings)}: {text}."
        for (name, text), headings in by_text.items()
    ]


def first_sizes(rows: Iterable[PaperRow]) -> list[PaperRow]:
    """The first row of each attack and norm."""
    first: dict[tuple[str, str], PaperRow] = {}
    for row in rows:
        first.setdefault((row.attack, row.norm), row)
    return [*first.values()]
