"""Claims of the papers, and whether measured figures support them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keras_maskdef.papers import mad, sfm
from keras_maskdef.papers.report_rows import counted, is_matched, title
from keras_maskdef.results import Report, Row, Score

HOLDS, PARTLY, FAILS = "holds", "holds in part", "does not hold"
Result = Mapping[str, Any]  # the result of a recipe's `run`
Results = Mapping[str, Result]


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, with the figures.

    Args:
        word: `"holds"`, `"holds in part"` or `"does not hold"`.
        figures: The figures that decide, in percent.
    """

    word: str
    figures: str


@dataclass(frozen=True)
class Claim:
    """A claim of a paper that figures can contradict.

    Args:
        source: Paper and table.
        text: The claim.
        recipes: Names of the recipes whose figures decide.
        judge: Function of the results of these recipes, in order; returns a verdict.
    """

    source: str
    text: str
    recipes: tuple[str, ...]
    judge: Callable[..., Verdict]

    def verdict(self, results: Results) -> Verdict | None:
        """The verdict; `None` if figures are missing.

        Args:
            results: Results of `run`, by name of the recipe.
        """
        if any(name not in results for name in self.recipes):
            return None
        return self.judge(*(results[name] for name in self.recipes))


def _rows(
    result: Result, matched: bool = False, attack: str | None = None
) -> list[Row]:
    """Rows of the paper's table, with its epsilons or with matched ones."""
    return [
        row
        for row in Report.from_dict(result).rows
        if row.paper
        and is_matched(row) == matched
        and row.attack == (attack or row.attack)
    ]


def _score(row: Row, column: str) -> Score:
    score = row.scores[column]
    assert score is not None
    return score


def _clean(result: Result, column: str) -> float:
    return 100 * _score(Report.from_dict(result).rows[0], column).accuracy


def _percent(row: Row, column: str) -> float:
    counts = "right before" if row.threat_model == "classifier" else "all"
    return 100 * counted(_score(row, column), row, counts)[0]


def _leads(rows: Iterable[Row], better: str, worse: Iterable[str]) -> list[float]:
    """By row, the lead in points of one column over the best of the others."""
    others = list(worse)
    return [
        _percent(row, better) - max(_percent(row, other) for other in others)
        for row in rows
    ]


def _judged(leads: list[float], least: float = 0.0) -> Verdict:
    """Holds if every row leads by more than `least`; in part if half of them do."""
    ahead = sum(lead > least for lead in leads)
    part = PARTLY if 2 * ahead >= len(leads) else FAILS
    word = HOLDS if ahead == len(leads) else part
    return Verdict(
        word,
        f"in {ahead} of {len(leads)} rows; lead {min(leads):+.1f} to "
        f"{max(leads):+.1f} points",
    )


def _all(*verdicts: Verdict) -> Verdict:
    words = {verdict.word for verdict in verdicts}
    word = words.pop() if len(words) == 1 else PARTLY
    return Verdict(word, "; ".join(verdict.figures for verdict in verdicts))


def _that(holds: bool, figures: str) -> Verdict:
    return Verdict(HOLDS if holds else FAILS, figures)


def _both_phases(result: Any) -> Verdict:
    alone = ("neither", "training", "test")
    return _judged(_leads(_rows(result), "both", alone))


def _rate_defends(result: Any) -> Verdict:
    return _judged(_leads(_rows(result), "3/4", ["1/2"]))


def _rate_costs(result: Any) -> Verdict:
    low, high = _clean(result, "1/2"), _clean(result, "3/4")
    return _that(high < low, f"clean {low:.1f} at 1/2, {high:.1f} at 3/4")


def _cells(result: Any) -> Verdict:
    return _judged(_leads(_rows(result), "8 and 4", ["8 and 8"]))


def _gain(result: Any) -> Verdict:
    return _judged(_leads(_rows(result, matched=True), mad.MAD, [mad.NO_MASKS]), 40)


def _votes(result: Any) -> Verdict:
    """Accuracy by number of views, clean and under attacks on the base model."""
    rises = []
    for row in [Report.from_dict(result).rows[0], *_rows(result)]:
        votes = _score(row, mad.MAD).votes or ()
        odd = [100 * share for share in votes[::2]]  # even numbers can tie
        pairs = zip(odd, odd[1:], strict=False)
        accuracies = ", ".join(f"{share:.1f}" for share in odd)
        name = title(row)
        figures = f"{name} with 1, 3, 5, ... views: {accuracies}"
        rises.append(_that(all(after >= before for before, after in pairs), figures))
    return _all(*rises)


def _ours(result: Any) -> Verdict:
    paper, ours = _clean(result, mad.MAD), _clean(result, mad.OURS)
    clean = _that(ours > paper, f"clean {ours:.1f} against {paper:.1f}")
    rows = [*_rows(result), *_rows(result, matched=True)]
    return _all(clean, _judged(_leads(rows, mad.OURS, [mad.MAD])))


def _keeps_clean(result: Any) -> Verdict:
    plain, defended = _clean(result, sfm.VANILLA), _clean(result, sfm.SFM)
    figures = f"clean {defended:.1f} against {plain:.1f}"
    return _that(defended > plain - 3, figures)


def _beats_squeezing(black: Any, gray: Any) -> Verdict:
    rows = [*_rows(black), *_rows(gray)]
    return _judged(_leads(rows, sfm.SFM, [sfm.SQUEEZED]))


def _prevents_cw(result: Any) -> Verdict:
    (row,) = _rows(result, attack="cw")
    clean, attacked = _clean(result, sfm.SFM), _percent(row, sfm.SFM)
    figures = f"{attacked:.1f} under CW, {clean:.1f} clean"
    return _that(attacked > clean - 5, figures)


def _falls(result: Any) -> Verdict:
    row = Report.from_dict(result).rows[-1]
    left = 100 * _score(row, sfm.SFM).accuracy
    return _that(left < 15, f"{left:.1f} worst-case robust accuracy")


def _costs_twice(result: Any) -> Verdict:
    seconds = result["defending_seconds"]
    ratio = seconds[sfm.SFM] / seconds[sfm.VANILLA]
    return _that(1.5 <= ratio <= 2.5, f"{ratio:.2f} times a plain prediction")


CLAIMS = (
    Claim(
        "MAD, Table 2",
        "masks in both phases are better under attack than in either alone, or none",
        ("mad/masked-phases",),
        _both_phases,
    ),
    Claim(
        "MAD, Figure 2",
        "accuracy rises with the number of votes",
        ("mad/votes",),
        _votes,
    ),
    Claim(
        "MAD, Table 1",
        "a higher mask rate defends more",
        ("mad/mask-rates",),
        _rate_defends,
    ),
    Claim(
        "MAD, Table 1",
        "a higher mask rate costs clean accuracy",
        ("mad/mask-rates",),
        _rate_costs,
    ),
    Claim(
        "MAD, Table 3",
        "trained with cells of 8 px, cells of 4 px in test are better under attack "
        "than cells of 8 px",
        ("mad/grid-sizes",),
        _cells,
    ),
    Claim(
        "MAD, Table 4",
        "at matched strength the vote gains at least 40 points over the attacked model",
        ("mad/cifar10-vgg16",),
        _gain,
    ),
    Claim(
        "MAD, Table 5",
        "at matched strength the vote gains at least 40 points over the attacked model",
        ("mad/mnist-lenet",),
        _gain,
    ),
    Claim(
        "SFM-Defense, Table 1",
        "clean accuracy is within 3 points of the undefended model's",
        ("sfm/cifar10-black-box",),
        _keeps_clean,
    ),
    Claim(
        "SFM-Defense, Tables 1 and 2",
        "better than feature squeezing, black box and gray box",
        ("sfm/cifar10-black-box", "sfm/cifar10-gray-box"),
        _beats_squeezing,
    ),
    Claim(
        "SFM-Defense, Table 2",
        "CW is almost completely prevented in the gray box",
        ("sfm/cifar10-gray-box",),
        _prevents_cw,
    ),
    Claim(
        "SFM-Defense, Tables 5 and 6",
        "better than feature squeezing, black box and gray box, on Tiny-ImageNet",
        ("sfm/tiny-imagenet-black-box", "sfm/tiny-imagenet-gray-box"),
        _beats_squeezing,
    ),
    Claim(
        "SFM-Defense, Table 6",
        "CW is almost completely prevented in the gray box, on Tiny-ImageNet",
        ("sfm/tiny-imagenet-gray-box",),
        _prevents_cw,
    ),
    Claim(
        "SFM-Defense, Table 7",
        "weak against adaptive attacks",
        ("sfm/cifar10-white-box",),
        _falls,
    ),
    Claim(
        "SFM-Defense, Table 7",
        "weak against adaptive attacks, on Tiny-ImageNet",
        ("sfm/tiny-imagenet-white-box",),
        _falls,
    ),
    Claim(
        "SFM-Defense, Table 8",
        "defending costs about twice a plain prediction",
        ("sfm/time-cost",),
        _costs_twice,
    ),
    Claim(
        "this library",
        "four partition views with geometric pooling beat the paper's five views, "
        "clean and under every attack that does not know of them: MNIST",
        ("mad/mnist-lenet",),
        _ours,
    ),
    Claim(
        "this library",
        "the same on CIFAR-10",
        ("mad/cifar10-vgg16",),
        _ours,
    ),
)
