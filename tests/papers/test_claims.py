"""Verdicts on the papers' claims, from figures made for the purpose."""

import json

import pytest
import results_page
from results_again import said_again

from keras_maskdef.papers.catalogue import RECIPES
from keras_maskdef.papers.claims import CLAIMS, FAILS, HOLDS, PARTLY
from keras_maskdef.results import Score


def score(accuracy):
    conditional = {"conditional": accuracy, "conditional_images": 1000}
    return Score(accuracy, 1000, **conditional).to_dict()


def row(scores, attack="pgd", epsilon=0.01, own=0.01, threat_model="classifier"):
    clean = threat_model == "none"
    return {
        "attack": attack,
        "norm": None if clean else "linf",
        "epsilon": None if clean else epsilon,
        "threat_model": threat_model,
        "samples": None,
        "scores": {name: score(value) for name, value in scores.items()},
        "paper": None if clean or own is None else {"epsilon": own},
    }


def result(clean, *rows):
    columns = {name: {"bare": name, "votes": None} for name in clean}
    return {
        "rows": [row(clean, "clean", threat_model="none"), *rows],
        "defences": columns,
        "class_names": [],
        "settings": {},
        "warnings": [],
        "notes": [],
    }


def claim(source, number=0):
    return [each for each in CLAIMS if each.source == source][number]


PHASES = ("neither", "training", "test", "both")


@pytest.mark.parametrize(
    ("figures", "word", "said"),
    [
        ([(0.3, 0.1, 0.4, 0.7), (0.2, 0.1, 0.3, 0.6)], HOLDS, "in 2 of 2 rows"),
        ([(0.3, 0.1, 0.8, 0.7), (0.2, 0.1, 0.3, 0.6)], PARTLY, "-10.0 to +30.0"),
        ([(0.3, 0.1, 0.8, 0.7)] * 2 + [(0.2, 0.1, 0.3, 0.6)], FAILS, "in 1 of 3 rows"),
        ([(0.3, 0.1, 0.8, 0.7)], FAILS, "in 0 of 1 rows"),
        ([(0.3, 0.1, 0.7, 0.7)], FAILS, "+0.0 to +0.0"),
    ],
)
def test_both_phases(figures, word, said):
    rows = [row(dict(zip(PHASES, each, strict=True))) for each in figures]
    clean = dict.fromkeys(PHASES, 0.8)
    (name,) = claim("MAD, Table 2").recipes
    verdict = claim("MAD, Table 2").verdict({name: result(clean, *rows)})
    assert verdict.word == word and said in verdict.figures


def test_a_gain_counts_at_matched_strength_only():
    own = row({"no masks": 0.0, "MAD": 0.9})
    matched = row({"no masks": 0.1, "MAD": 0.45}, epsilon=0.02)
    gain = claim("MAD, Table 4")
    (name,) = gain.recipes
    verdict = gain.verdict({name: result({"no masks": 0.9, "MAD": 0.8}, own, matched)})
    assert (verdict.word, verdict.figures) == (
        FAILS,
        "in 0 of 1 rows; lead +35.0 to +35.0 points",
    )


@pytest.mark.parametrize(
    ("clean", "attacked", "words"),
    [
        ((0.8, 0.7), (0.4, 0.6), [HOLDS, HOLDS]),
        ((0.6, 0.7), (0.4, 0.6), [HOLDS, FAILS]),
        ((0.8, 0.7), (0.6, 0.4), [FAILS, HOLDS]),
    ],
)
def test_rates_defend_and_cost(clean, attacked, words):
    rates = [claim("MAD, Table 1", number) for number in (0, 1)]
    rows = [dict(zip(("1/2", "3/4"), each, strict=True)) for each in (clean, attacked)]
    found = {rates[0].recipes[0]: result(rows[0], row(rows[1]))}
    defends, costs = (each.verdict(found) for each in rates)
    assert [defends.word, costs.word] == words
    low, high = (100 * share for share in clean)
    assert costs.figures == f"clean {low:.1f} at 1/2, {high:.1f} at 3/4"


@pytest.mark.parametrize(
    ("clean", "attacked", "word"),
    [
        ([0.5, 0.4, 0.6, 0.5, 0.7], [0.2, 0.1, 0.2], HOLDS),
        ([0.5, 0.4, 0.6, 0.5, 0.7], [0.2, 0.2, 0.1], PARTLY),
        ([0.5, 0.6, 0.4], [0.2, 0.3, 0.1], FAILS),
    ],
)
def test_votes_rise_over_odd_numbers_clean_and_attacked(clean, attacked, word):
    votes = claim("MAD, Figure 2")
    found = result({"MAD": 0.8}, row({"MAD": 0.3}))
    for each, shares in zip(found["rows"], (clean, attacked), strict=True):
        each["scores"]["MAD"]["votes"] = shares
    verdict = votes.verdict({votes.recipes[0]: found})
    assert verdict.word == word
    assert "pgd Linf 0.01 with 1, 3, 5, ... views: 20.0" in verdict.figures


def test_claims_of_sfm():
    columns = ("no defence", "feature squeezing", "SFM-Defense")

    def scores(*values):
        return dict(zip(columns, values, strict=True))

    clean = scores(0.87, 0.85, 0.85)
    box = {"threat_model": "gray_box"}
    black = result(clean, row(scores(0.1, 0.2, 0.3), threat_model="surrogate"))
    gray = result(
        clean,
        row(scores(0.1, 0.2, 0.3), **box),
        row(scores(0.0, 0.1, 0.79), "cw", **box),
    )
    worst = row(scores(0.0, 0.0, 0.1), "the worst", own=None, threat_model="union")
    names = ("black", "gray", "white")
    results = {
        f"sfm/cifar10-{name}-box": each
        for name, each in zip(names, (black, gray, result(clean, worst)), strict=True)
    }
    seconds = {"no defence": 2.0, "SFM-Defense": 5.2}
    results["sfm/time-cost"] = {"defending_seconds": seconds}
    strong = row(scores(0.0, 0.0, 0.2), "the worst", own=None, threat_model="union")
    results["sfm/tiny-imagenet-white-box"] = result(clean, strong)
    results["sfm/tiny-imagenet-black-box"] = black
    results["sfm/tiny-imagenet-gray-box"] = result(
        clean, row(scores(0.0, 0.7, 0.6), "cw", **box)
    )
    words = {
        each.text: each.verdict(results).word
        for each in CLAIMS
        if each.source.startswith("SFM")
    }
    on_cifar10, on_tiny = [HOLDS, HOLDS, FAILS], [PARTLY, FAILS]
    assert list(words.values()) == [*on_cifar10, *on_tiny, HOLDS, FAILS, FAILS]


def test_no_verdict_without_figures():
    assert all(each.verdict({}) is None for each in CLAIMS)
    for each in CLAIMS:
        assert set(each.recipes) <= set(RECIPES)


def test_the_page_says_what_the_runs_say():
    assert results_page.PAGE.read_text() == results_page.page()


def test_a_second_training_is_compared_by_rows_not_by_sizes():
    """Matched epsilons differ; a figure outside of its interval is counted as such."""
    names = ("no masks", "MAD", "ours")

    def trained(*shares, matched):
        scores = dict(zip(names, shares, strict=True))
        last = row(scores, "the worst of all", own=None, threat_model="union")
        return result(scores, row(scores, epsilon=matched), {**last, "epsilon": None})

    recipe = RECIPES["mad/mnist-lenet"].at("cpu")
    first = trained(0.1, 0.6, 0.7, matched=0.2)
    said = said_again(recipe, first, trained(0.1, 0.75, 0.65, matched=0.3))
    assert "3 of 9 figures are within" in said and "for 3 the intervals of" in said
    assert "MAD under worst case, 60.0 and then 75.0 %" in said
    assert "ours 65.0" in said and "MNIST (this library): does not hold" in said
    assert "Changed verdicts: none" in said_again(recipe, first, first)


def test_published_runs_are_those_of_the_recipes():
    """A recipe that was changed since has to be run again."""
    for path in results_page.PUBLISHED.glob("*.json"):
        recipe, results = results_page.published(path, RECIPES)
        now = json.loads(json.dumps(recipe.plain()))
        assert within(results["setting"], now), path.name


def within(old, new):
    """Whether nothing has changed; fields may have come."""
    if not isinstance(old, dict):
        return old == new
    return old.keys() <= new.keys() and all(within(old[k], new[k]) for k in old)
