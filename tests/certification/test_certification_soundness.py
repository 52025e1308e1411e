"""What is certified holds against every attack on toys small enough to try them all.

A toy is a law of masks and a table: the answer under each mask, in which cell i is
hidden where bit i of the place is set. An attack on some cells gives any answers in
the views that show one of them, and changes none of the others. Votes are counted in
whole numbers, so that a tie is a tie.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from math import comb, lcm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_maskdef import RandomGridMask, kernels
from keras_maskdef.certification import (
    MaskDistribution,
    any_cells,
    double_masking,
    exact,
    lower_bound,
    majority,
    margin,
    masks_needed,
    patches,
    per_set,
    upper_bound,
)

many = settings(max_examples=1000, deadline=None, derandomize=True)
few = settings(max_examples=80, deadline=None, derandomize=True)
some = settings(max_examples=200, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
# Those where no single view has most of the votes, or there is little to prove.
RATES = [Fraction(*each) for each in ((2, 3), (3, 4), (4, 5), (5, 6), (9, 10), (0, 1))]


@cache
def views(cells):
    """Which cells each mask hides; also every set of cells there is."""
    return (np.arange(2**cells)[:, None] >> np.arange(cells) & 1).astype(bool)


def sets_of(cells, size):
    return views(cells)[views(cells).sum(axis=1) == size]


def reached_by(touched):
    """Views that show a touched cell."""
    return (~views(len(touched)) & touched).any(axis=1)


@dataclass(frozen=True)
class Toy:
    """A law, and the weight of each mask in whole numbers."""

    law: MaskDistribution
    weights: np.ndarray

    @property
    def cells(self):
        return self.law.cells

    def votes(self, answers, classes, counted=True):
        found = np.zeros(classes, int)
        np.add.at(found, answers, self.weights * counted)
        return found

    def winner(self, answers, classes):
        """The class with the most votes, or -1 where two have them."""
        found = self.votes(answers, classes)
        first = np.flatnonzero(found == found.max())
        return first[0] if len(first) == 1 else -1

    def lead(self, answers, classes, top, touched):
        """Of `top` over the best rival, once that one has got all reached views."""
        reached = reached_by(touched)
        kept = self.votes(answers, classes, ~reached)
        ahead = kept[top] - np.delete(kept, top).max() - self.weights[reached].sum()
        return Fraction(int(ahead), int(self.weights.sum()))


def bernoulli(cells, rate):
    hidden = views(cells).sum(axis=1)
    hide, show = rate.numerator, rate.denominator - rate.numerator
    law = MaskDistribution.bernoulli(cells, float(rate))
    return Toy(law, hide**hidden * show ** (cells - hidden))


def mixture(shares):
    """Each number of visible cells as often as its share."""
    cells = len(shares) - 1
    ways = [comb(cells, shown) for shown in range(cells + 1)]
    each = [share * lcm(*ways) // way for share, way in zip(shares, ways, strict=True)]
    law = MaskDistribution(tuple(share / sum(shares) for share in shares))
    return Toy(law, np.array(each)[(~views(cells)).sum(axis=1)])


def showing(cells, visible):
    shown = (~views(cells)).sum(axis=1)
    return Toy(MaskDistribution.showing(cells, visible), (shown == visible).astype(int))


def one_visible(answers):
    """Masks that show one cell each, and the answer to each cell."""
    table = np.zeros(2 ** len(answers), int)
    for cell, answer in enumerate(answers):
        table[2 ** len(answers) - 1 - 2**cell] = answer
    return showing(len(answers), 1), table


@st.composite
def toys(draw, most_cells=5):
    cells = draw(st.integers(3, most_cells))
    kind = draw(st.sampled_from(("bernoulli", "showing", "mixture")))
    if kind == "bernoulli":
        return bernoulli(cells, draw(st.sampled_from(RATES)))
    if kind == "showing":
        return showing(cells, draw(st.integers(0, cells)))
    # Masks that hide much are the ones that prove something.
    few = [draw(st.integers(1, 30)), draw(st.integers(0, 30))]
    return mixture(few + [draw(st.integers(0, 3)) for _ in range(cells - 1)])


@st.composite
def cases(draw):
    """A toy, a table in which most masks agree, and the number of classes."""
    toy = draw(toys())
    seen = draw(st.integers(1, 4))
    classes = draw(st.sampled_from((max(2, seen), seen + 1, 256)))
    noise = draw(st.sampled_from((0.0, 0.05, 0.1, 0.2, 0.4, 1.0)))
    random = np.random.default_rng(draw(seeds))
    names = random.choice(classes, seen, replace=False)
    if draw(st.booleans()):
        names[0] = classes - 1
    size = 2**toy.cells
    which = np.where(random.random(size) < noise, random.integers(seen, size=size), 0)
    dtype = draw(st.sampled_from(("uint8", "int16", "int32", "int64")))
    return toy, names[which].astype(dtype), classes


def prove(toy, answers, families, classes):
    proof = exact(answers[None], toy.law, families, classes)
    return proof.predicted[0], proof.certified[:, 0]


def one_by_one(sets):
    return [each[None] for each in sets]


# All masks.


@many
@given(cases())
def test_exact_certifies_if_and_only_if_no_attack_draws_level(case):
    toy, answers, classes = case
    every = views(toy.cells)
    top, certified = prove(toy, answers, one_by_one(every), classes)
    assert top == toy.winner(answers, classes)
    stands = [
        top != -1 and toy.lead(answers, classes, top, touched) > 0 for touched in every
    ]
    assert certified.tolist() == stands
    within = ~(every[:, None] & ~every[None]).any(axis=-1)
    assert all(certified[subsets].all() for subsets in within.T[certified])


@cache
def relabellings(count, classes):
    return np.array(list(product(range(classes), repeat=count)))


@many
@given(st.data(), toys(most_cells=3), st.integers(2, 3), st.integers(0, 7))
def test_exact_is_right_about_all_attacks_one_by_one(data, toy, classes, place):
    """No attack is taken for the worst one here."""
    common = st.sampled_from((*[0] * 6, *range(classes)))
    answers = np.array(data.draw(st.lists(common, min_size=8, max_size=8)))
    touched = views(3)[place]
    reached = reached_by(touched)
    attacks = relabellings(int(reached.sum()), classes)
    tables = np.repeat(answers[None], len(attacks), axis=0)
    tables[:, reached] = attacks
    votes = np.stack([(tables == c) @ toy.weights for c in range(classes)], axis=1)
    top, (certified,) = prove(toy, answers, [touched[None]], classes)
    assert top == toy.winner(answers, classes)
    rivals = np.delete(votes, top, axis=1)
    assert certified == (top != -1 and (votes[:, [top]] > rivals).all())


def seen_contents(cells):
    """What each view of each binary image shows, as a number: `(images, masks)`."""
    images, masks = views(cells)[:, None], views(cells)[None]
    return np.where(masks, 0, 1 + images) @ 3 ** np.arange(cells)


@many
@given(toys(most_cells=3), st.integers(2, 3), st.floats(0.0, 0.6), seeds)
def test_no_image_that_differs_in_the_set_is_predicted_otherwise(
    toy, classes, noise, seed
):
    """For classifiers that answer to what they see, as they do, not to the attack."""
    random = np.random.default_rng(seed)
    answer = np.where(random.random(27) < noise, random.integers(classes, size=27), 1)
    tables = answer[seen_contents(3)]
    top, certified = prove(toy, tables[0], one_by_one(views(3)), classes)
    found = np.array([toy.winner(each, classes) for each in tables])
    for touched in views(3)[certified]:
        inside = ~(views(3) & ~touched).any(axis=1)
        assert (found[inside] == top).all()


@some
@given(cases(), seeds)
def test_a_family_is_certified_if_each_of_its_sets_is(case, seed):
    toy, answers, classes = case
    random = np.random.default_rng(seed)
    every = views(toy.cells)
    places = [random.integers(len(every), size=n) for n in (0, 1, 2, 5)]
    top, each = prove(toy, answers, one_by_one(every), classes)
    _, families = prove(toy, answers, [every[place] for place in places], classes)
    assert families.tolist() == [top != -1 and each[p].all() for p in places]


@some
@given(cases(), seeds)
def test_answers_under_masks_that_cannot_be_drawn_change_nothing(case, seed):
    toy, answers, classes = case
    other = np.random.default_rng(seed).integers(classes, size=answers.shape)
    changed = np.where(toy.weights > 0, answers, other)
    families = one_by_one(views(toy.cells))
    one, another = (prove(toy, each, families, classes) for each in (answers, changed))
    assert one[0] == another[0]
    np.testing.assert_array_equal(one[1], another[1])


@some
@given(toys(), seeds)
def test_images_are_certified_each_for_itself(toy, seed):
    random = np.random.default_rng(seed)
    answers = random.integers(3, size=(4, 2**toy.cells))
    answers[random.random(answers.shape) < 0.8] = 2
    families = [views(toy.cells)[:1], sets_of(toy.cells, 1), sets_of(toy.cells, 2)]
    together = exact(answers, toy.law, families, 3)
    for image, each in enumerate(answers):
        top, certified = prove(toy, each, families, 3)
        assert together.predicted[image] == top
        np.testing.assert_array_equal(together.certified[:, image], certified)


@pytest.mark.parametrize(
    "cells, visible, touched",
    [
        (4, 1, 1),
        (5, 1, 1),
        (6, 1, 2),
        (6, 2, 1),
        (8, 1, 3),
        (9, 2, 2),
        (12, 2, 1),
        (12, 5, 1),
        (14, 3, 2),
        (16, 2, 3),
        (18, 3, 1),
    ],
)
def test_half_of_all_views_is_not_enough_for_exact_and_one_more_is(
    cells, visible, touched
):
    """Where rounding could hide a tie, if all views that stay are for two classes."""
    toy = showing(cells, visible)
    attack = np.arange(cells) < touched
    stays = np.flatnonzero((toy.weights > 0) & ~reached_by(attack))
    stays = np.random.default_rng(0).permutation(stays)
    half = comb(cells, visible) // 2
    for own, enough in ((half, False), (half + 1, True)):
        answers = np.zeros(2**cells, int)
        answers[stays[own:]] = 1
        top, certified = prove(toy, answers, [attack[None]], 2)
        assert (top, *certified) == (0, enough)


def test_an_image_whose_votes_are_tied_is_certified_against_nothing():
    for answers in ((0, 1, 0, 1), (2, 2, 0, 0, 1), (1, 0, 2)):
        toy, table = one_visible(answers)
        top, certified = prove(toy, table, one_by_one(views(toy.cells)), 3)
        assert top == -1
        assert not certified.any()


def test_the_view_without_any_cell_can_decide_alone():
    toy = bernoulli(3, Fraction(19, 20))
    answers = np.array([2, 2, 2, 2, 2, 2, 2, 0])
    top, certified = prove(toy, answers, one_by_one(views(3)), 3)
    assert top == 0
    assert certified.all()


@some
@given(st.integers(0, 8), st.booleans(), seeds)
def test_superset_sums_equal_brute_force(bits, whole, seed):
    random = np.random.default_rng(seed)
    values = random.integers(-99, 99, 2**bits)
    values = values if whole else values / 7
    before = values.copy()
    places = np.arange(2**bits)
    expected = [values[places & place == place].sum() for place in places]
    found = kernels.superset_sums(values)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(values, before)


# Masks drawn at random.

ALPHA = 0.1
FIRST = np.array([[True, False, False, False]])
FOUR = np.repeat(FIRST, 4, axis=0)
MASKS = 150


def barely_broken(toy, classes, size):
    """The table that an attack on so many cells breaks by the least."""
    tables = relabellings(2**toy.cells, classes)
    worst = np.full(len(tables), np.iinfo(int).max)
    for touched in sets_of(toy.cells, size):
        reached = reached_by(touched)
        kept = toy.weights * ~reached
        rival = np.max([(tables == c) @ kept for c in range(1, classes)], axis=0)
        ahead = (tables == 0) @ kept - rival - toy.weights[reached].sum()
        worst = np.minimum(worst, ahead)
    votes = (tables == 0) @ toy.weights
    return tables[np.lexsort((votes, np.where(worst <= 0, worst, worst.min())))[-1]]


def barely_broken_toys():
    """Certificates are wrong for them, and hardest to see through; `top` is 0."""
    for cells, classes, size in ((4, 2, 1), (4, 2, 2), (3, 3, 1), (3, 3, 0)):
        toy = bernoulli(cells, Fraction(3, 4))
        name = f"bernoulli, {size} of {cells} cells, {classes} classes"
        yield pytest.param(toy, barely_broken(toy, classes, size), classes, id=name)
    for answers in (
        (0, 1, 0, 0),
        (0, 1, 0, 1),
        (0, 0, 1, 1, 2),
        (0, 1, 2, 3, 4),
        (0, 0, 0, 1, 1, 2),
        (1, 1, 1, 0),
    ):
        toy, table = one_visible(answers)
        yield pytest.param(toy, table, max(answers) + 1, id=f"one visible {answers}")


BARELY_BROKEN = list(barely_broken_toys())


def broken_for(toy, answers, classes, families):
    return np.array(
        [
            any(toy.lead(answers, classes, 0, touched) <= 0 for touched in sets)
            for sets in families
        ]
    )


def check_rate(certified, broken):
    """Wrong as soon as one certificate of a repetition is."""
    assert broken.any()
    wrong = int((certified & broken).any(axis=1).sum())
    found = stats.binomtest(wrong, len(certified), ALPHA, alternative="greater")
    assert found.pvalue > 1e-4


def draw_masks(toy, masks, repetitions, seed):
    """How often each mask is drawn, `(repetitions, 2 ** cells)`."""
    shares = toy.weights / toy.weights.sum()
    return np.random.default_rng(seed).multinomial(masks, shares, repetitions)


def of_each_class(drawn, answers, classes):
    return np.stack([drawn[..., answers == c].sum(-1) for c in range(classes)], -1)


@pytest.mark.parametrize("rule", (majority, margin))
@pytest.mark.parametrize("toy, answers, classes", BARELY_BROKEN)
def test_counts_certify_what_is_wrong_no_more_often_than_alpha(
    rule, toy, answers, classes
):
    sizes = range(toy.cells + 1)
    families = [sets_of(toy.cells, size) for size in sizes]
    drawn = draw_masks(toy, MASKS, 2000, 1)
    counts, place = np.unique(
        of_each_class(drawn, answers, classes), axis=0, return_inverse=True
    )
    certified = np.array([rule(each, 0, toy.law, sizes, ALPHA) for each in counts])
    broken = broken_for(toy, answers, classes, families)
    check_rate(certified[place.reshape(-1)], broken)


@pytest.mark.parametrize("toy, answers, classes", BARELY_BROKEN)
def test_per_set_certifies_what_is_wrong_no_more_often_than_alpha(
    toy, answers, classes
):
    families = one_by_one(views(toy.cells))
    hidden = views(toy.cells)
    certified = [
        per_set(
            np.repeat(hidden, times, axis=0),
            np.repeat(answers, times),
            0,
            toy.law,
            families,
            classes,
            ALPHA,
        )
        for times in draw_masks(toy, MASKS, 1000, 2)
    ]
    check_rate(np.array(certified), broken_for(toy, answers, classes, families))


@pytest.mark.parametrize(
    "rule, share",
    [
        (lambda law, drawn: majority(drawn[1], 0, law, [1], ALPHA), 1),
        (lambda law, drawn: margin(drawn[1], 0, law, [1], ALPHA), 2),
        (lambda law, drawn: per_set(*drawn[0], 0, law, [FIRST], 2, ALPHA), 2),
        (lambda law, drawn: per_set(*drawn[0], 0, law, 4 * [FIRST], 2, ALPHA), 8),
        (lambda law, drawn: per_set(*drawn[0], 0, law, [FOUR], 2, ALPHA), 8),
    ],
    ids=["majority", "margin", "one set", "four families", "a family of four sets"],
)
def test_at_the_threshold_rules_are_wrong_about_as_often_as_their_share_of_alpha(
    rule, share
):
    """So the tests above could see more."""
    toy, answers = one_visible((0, 1, 0, 0))
    found = []
    for times in draw_masks(toy, 400, 2000, 3):
        sample = np.repeat(views(4), times, axis=0), np.repeat(answers, times)
        drawn = sample, of_each_class(times, answers, 2)
        found.append(rule(toy.law, drawn)[0])
    assert 0.5 * ALPHA / share < np.mean(found) < 1.3 * ALPHA / share


@pytest.mark.parametrize(
    "toy",
    [
        bernoulli(3, Fraction(3, 4)),
        bernoulli(4, Fraction(4, 5)),
        bernoulli(5, Fraction(5, 6)),
        showing(5, 1),
        mixture([12, 12, 4, 1, 1]),
    ],
    ids=lambda toy: f"{toy.cells} cells, hidden {toy.law.hidden(1):.3f}",
)
def test_with_many_masks_per_set_certifies_what_exact_does(toy):
    """And the rules that know less of the views certify nothing else."""
    random = np.random.default_rng(4)
    sizes = range(3)
    families = [sets_of(toy.cells, size) for size in sizes]
    found = []
    while len(found) < 10:
        noise = random.integers(3, size=2**toy.cells)
        answers = np.where(random.random(noise.shape) < random.random(), noise, 1)
        top, proven = prove(toy, answers, families, 3)
        leads = [toy.lead(answers, 3, top, s) for sets in families for s in sets]
        if top == -1 or min(abs(lead) for lead in leads) < 0.02:
            continue
        (drawn,) = draw_masks(toy, 200_000, 1, random)
        hidden = np.repeat(views(toy.cells), drawn, axis=0)
        sample = hidden, np.repeat(answers, drawn), top
        certified = per_set(*sample, toy.law, families, 3, 1e-3)
        np.testing.assert_array_equal(certified, proven)
        counts = of_each_class(drawn, answers, 3)
        for rule in (majority, margin):
            assert not (rule(counts, top, toy.law, sizes, 1e-3) & ~proven).any()
        found.append(proven)
    assert np.any(found, axis=0).all() and not np.all(found, axis=0).all()


counts_of_classes = st.lists(st.integers(0, 60), min_size=2, max_size=5).flatmap(
    # One class with most answers, anywhere.
    lambda few: st.tuples(
        st.permutations([*few[1:], 20 * few[0]]).map(np.array),
        st.integers(0, len(few) - 1),
    )
)


def interval(found, tried, alpha):
    """Both bounds at `alpha`, by SciPy's own inversion of the binomial test."""
    if not tried:
        return 0.0, 1.0
    test = stats.binomtest(int(found), int(tried))
    return test.proportion_ci(1.0 - 2.0 * alpha, "exact")


def bounded_lead(counts, top, alpha):
    own, _ = interval(counts[top], counts.sum(), alpha)
    _, rival = interval(np.delete(counts, top).max(), counts.sum(), alpha)
    return own - min(rival, 1.0 - own)


@some
@given(counts_of_classes, toys(), st.sampled_from((0.2, 0.05, 1e-3)))
def test_majority_rejects_that_the_votes_are_too_few(counted, toy, alpha):
    """The bound is above a share if so many answers are too rare at that share."""
    counts, top = counted
    sizes = range(toy.cells + 1)
    shares = [min(1.5 - toy.law.hidden(size), 1.0) for size in sizes]
    tails = stats.binom.sf(counts[top] - 1, counts.sum(), shares)
    found = majority(counts, top, toy.law, sizes, alpha)
    np.testing.assert_array_equal(found, tails < alpha)


@some
@given(counts_of_classes, toys(), st.sampled_from((0.2, 0.05, 1e-3)))
def test_margin_divides_alpha_among_the_classes(counted, toy, alpha):
    counts, top = counted
    sizes = range(toy.cells + 1)
    ahead = bounded_lead(counts, top, alpha / len(counts))
    expected = [ahead > 2.0 * (1.0 - toy.law.hidden(size)) for size in sizes]
    assert margin(counts, top, toy.law, sizes, alpha).tolist() == expected


@some
@given(counts_of_classes, toys(), st.sampled_from((0.2, 0.05, 1e-3)))
def test_margin_certifies_what_majority_does_at_its_share_of_alpha(counted, toy, alpha):
    counts, top = counted
    sizes = range(toy.cells + 1)
    less = majority(counts, top, toy.law, sizes, alpha / len(counts))
    more = margin(counts, top, toy.law, sizes, alpha)
    assert not (less & ~more).any()
    # Of two classes, one has what the other lacks.
    assert len(counts) > 2 or (less == more).all()


@few
@given(cases(), st.integers(0, 400), st.sampled_from((0.2, 1e-3)), seeds)
def test_per_set_divides_alpha_among_classes_and_sets(case, masks, alpha, seed):
    toy, answers, _ = case
    answers = answers % 4
    top = int(np.bincount(answers, toy.weights).argmax())
    (drawn,) = draw_masks(toy, masks, 1, seed)
    sets = views(toy.cells)[[0, 1, 3, 4]]
    each = alpha / (4 * len(sets))
    expected = []
    for touched in sets:
        left = of_each_class(drawn * ~reached_by(touched), answers, 4)
        h = toy.law.hidden(int(touched.sum()))
        expected.append(h * bounded_lead(left, top, each) > 1.0 - h)
    hidden = np.repeat(views(toy.cells), drawn, axis=0)
    sample = hidden, np.repeat(answers, drawn), top
    found = per_set(*sample, toy.law, one_by_one(sets), 4, alpha)
    assert found.tolist() == expected
    families = [sets[:2], sets[:0], sets[2:]]
    found = per_set(*sample, toy.law, families, 4, alpha)
    assert found.tolist() == [all(expected[:2]), True, all(expected[2:])]


def test_no_masks_certify_nothing():
    law = MaskDistribution.bernoulli(4, 0.9)
    nothing = np.zeros(2, int)
    for rule in (majority, margin):
        assert not rule(nothing, 0, law, [0, 1], ALPHA).any()
    families = one_by_one(views(4))
    none = np.zeros((0, 4), bool), np.zeros(0, int), 0
    assert not per_set(*none, law, families, 2, ALPHA).any()
    # And masks that show every cell tell only what the empty set needs.
    shown = np.zeros((500, 4), bool), np.zeros(500, int), 0
    certified = per_set(*shown, law, families, 2, ALPHA)
    assert certified.tolist() == [True] + [False] * 15


# Double masking.


def pairs_of(tables, cover):
    codes = cover @ (1 << np.arange(cover.shape[1]))
    return tables[..., codes[:, None] | codes]


def structured_attacks(clean, reached, hides, classes):
    """For each other class: all it can get, or all behind one mask, or all others."""
    top = clean[-1]
    for other in set(range(classes)) - {top}:
        yield np.where(reached, other, clean)
        for behind in hides:
            yield np.where(reached & behind, other, clean)
            yield np.where(reached & ~behind, other, clean)
            third = (other + 1) % classes
            yield np.where(reached, np.where(behind, other, third), clean)


@st.composite
def covers(draw):
    cells = draw(st.integers(3, 4))
    size = draw(st.integers(0, 2))
    if size:
        return sets_of(cells, size)
    places = st.lists(st.integers(0, 2**cells - 1), min_size=1, max_size=6)
    return views(cells)[draw(places)]


@settings(many, max_examples=500)
@given(covers(), st.integers(2, 4), st.sampled_from((0.0, 0.1)), seeds)
def test_no_attack_in_the_cover_changes_what_double_masking_certifies(
    cover, classes, noise, seed
):
    random = np.random.default_rng(seed)
    cells = cover.shape[1]
    clean = random.integers(classes, size=2**cells)
    top = clean[-1] = random.integers(classes)
    # Masks outside of the cover are never asked for.
    asked = pairs_of(np.arange(2**cells), cover).reshape(-1)
    clean[asked[random.random(len(asked)) >= noise]] = top
    predicted, certified = double_masking(pairs_of(clean[None], cover))
    assert certified[0, 0] == (clean[asked] == clean[asked[0]]).all()
    if not certified[0, 0]:
        return
    hides = [~reached_by(mask) for mask in cover]
    for touched in cover:
        reached = reached_by(touched)
        chance = random.integers(classes, size=(5, 2**cells))
        attacks = [*structured_attacks(clean, reached, hides, classes)]
        attacks = np.array([*attacks, *np.where(reached, chance, clean)])
        found = double_masking(pairs_of(attacks, cover)).predicted
        assert (found == predicted[0]).all()


SMALL_COVERS = {
    "each of 3": sets_of(3, 1),
    "each of 4": sets_of(4, 1),
    "two of 3": sets_of(3, 2),
    "nested": views(3)[[0b001, 0b011, 0b110]],
    "overlapping": views(4)[[0b0011, 0b0110, 0b1100]],
    "one twice": views(3)[[0b001, 0b001, 0b010]],
    "with the empty set": views(3)[[0b000, 0b001, 0b010]],
    "with all cells": views(3)[[0b111, 0b001, 0b010]],
}


@pytest.mark.parametrize("cover", SMALL_COVERS.values(), ids=SMALL_COVERS)
@pytest.mark.parametrize("top", range(3))
def test_no_attack_at_all_changes_what_double_masking_certifies(cover, top):
    cells = cover.shape[1]
    asked = np.unique(pairs_of(np.arange(2**cells), cover))
    for touched in cover:
        reached = reached_by(touched)
        free = asked[reached[asked]]
        attacks = relabellings(len(free), 3)
        tables = np.full((len(attacks), 2**cells), top)
        tables[:, free] = attacks
        predicted, certified = double_masking(pairs_of(tables, cover))
        assert (predicted == top).all()
        agree = (tables[:, asked] == tables[:, asked[:1]]).all(axis=1)
        np.testing.assert_array_equal(certified[0], agree)


def by_the_book(pairs):
    """Algorithm 1 of PatchCleanser."""
    single = [pairs[i][i] for i in range(len(pairs))]
    most = min(set(single), key=lambda label: (-single.count(label), label))
    for label, row in zip(single, pairs, strict=True):
        if label != most and set(row) == {label}:
            return label
    return most


def test_double_masking_predicts_by_the_book():
    tables = relabellings(6, 3)
    upper = np.triu_indices(3)
    pairs = np.zeros((len(tables), 3, 3), "uint8")
    pairs[:, *upper] = tables
    pairs.transpose(0, 2, 1)[:, *upper] = tables
    expected = [by_the_book(each.tolist()) for each in pairs]
    np.testing.assert_array_equal(double_masking(pairs).predicted, expected)


@many
@given(st.integers(1, 2), st.integers(2, 3), st.floats(0.0, 0.5), seeds)
def test_no_image_that_differs_in_the_cover_is_predicted_otherwise(
    size, classes, noise, seed
):
    """For classifiers that answer to what they see."""
    random = np.random.default_rng(seed)
    answer = np.where(random.random(81) < noise, random.integers(classes, size=81), 1)
    codes = seen_contents(4)
    cover = sets_of(4, size)
    # So that the clean image is certified.
    answer[pairs_of(codes[0], cover)] = 1
    predicted, certified = double_masking(pairs_of(answer[codes], cover))
    assert predicted[0] == 1 and certified[0, 0]
    assert (predicted[views(4).sum(axis=1) <= size] == 1).all()


# What an attack can touch.


def maximal(sets):
    return {each for each in sets if not any(each < other for other in sets)}


def touched_by_patches(height, width, cell_size, size, aligned):
    """At every place, over the border, too."""
    rows, columns = np.mgrid[:height, :width] // cell_size
    cells = rows * -(-width // cell_size) + columns
    found = set()
    for top, left in product(range(1 - size, height), range(1 - size, width)):
        if aligned and (top % cell_size or left % cell_size):
            continue
        under = cells[max(0, top) : top + size, max(0, left) : left + size]
        found.add(frozenset(under.reshape(-1).tolist()))
    return maximal(found)


@some
@given(*[st.integers(1, 9)] * 2, st.integers(1, 5), st.integers(1, 11), st.booleans())
def test_patches_are_those_at_every_pixel(height, width, cell_size, size, aligned):
    sets = patches(height, width, cell_size, size, aligned)
    assert sets.shape[1] == -(-height // cell_size) * -(-width // cell_size)
    found = [frozenset(np.flatnonzero(each).tolist()) for each in sets]
    assert len(found) == len(set(found))
    expected = touched_by_patches(height, width, cell_size, size, aligned)
    assert set(found) == expected
    most = -(-(size - 1) // cell_size) + 1
    assert max(map(len, found)) <= (-(-size // cell_size) if aligned else most) ** 2


@pytest.mark.parametrize("cells", range(1, 7))
@pytest.mark.parametrize("count", range(1, 8))
def test_any_cells_are_all_combinations(cells, count):
    found = [tuple(np.flatnonzero(each)) for each in any_cells(cells, count)]
    assert found == list(combinations(range(cells), min(cells, count)))


# How probable masks are.


@some
@given(toys(most_cells=6))
def test_hidden_is_the_probability_of_all_masks_that_hide_the_set(toy):
    whole = int(toy.weights.sum())
    shown = (~views(toy.cells)).sum(axis=1)
    found = toy.law.probabilities(shown)
    np.testing.assert_allclose(found, toy.weights / whole, rtol=1e-12)
    for touched in views(toy.cells):
        share = Fraction(int(toy.weights[~reached_by(touched)].sum()), whole)
        assert toy.law.hidden(int(touched.sum())) == pytest.approx(float(share), 1e-12)
    assert toy.law.hidden(toy.cells + 1) == 0.0


@pytest.mark.parametrize("cells", (1, 2, 9, 16, 25, 196))
def test_hidden_is_what_the_papers_say(cells):
    for rate in (0.0, 0.05, 0.5, 0.75, 1.0):
        law = MaskDistribution.bernoulli(cells, rate)
        fixed = MaskDistribution.fixed_count(cells, rate)
        keep = fixed.visible.index(1.0)
        for count in range(min(cells, 9) + 1):
            assert law.hidden(count) == pytest.approx(rate**count, 1e-9)
            share = Fraction(comb(cells - count, keep), comb(cells, keep))
            assert fixed.hidden(count) == pytest.approx(float(share), 1e-12)


@pytest.mark.parametrize("cells", (16, 25))
def test_largest_is_the_last_size_that_is_hidden_in_most_views(cells):
    rates = (0.5, 0.75, 0.8, 0.9, 0.95)
    found = [MaskDistribution.bernoulli(cells, rate).largest for rate in rates]
    assert found == [0, 2, 3, 6, 13]
    for visible in range(cells + 1):
        law = MaskDistribution.showing(cells, visible)
        most = [
            k
            for k in range(cells + 1)
            if 2 * comb(cells - k, visible) > comb(cells, visible)
        ]
        assert law.largest == most[-1]


@pytest.mark.parametrize(
    "grid", [(1, 1), (1, 2), (2, 2), (2, 3), (1, 7), (3, 3), (3, 5), (4, 4), (5, 5)]
)
def test_fixed_count_shows_as_many_cells_as_the_layer(grid):
    cells = grid[0] * grid[1]
    halves = (np.arange(cells) + 0.5) / cells
    for rate in (*halves, *np.linspace(0, 1, 7), 0.05, 0.35, 0.7, 0.95):
        mask = RandomGridMask(1, rate, sampling="fixed_count", seed=0)
        keep = np.asarray(mask.sample(np.zeros((1, *grid, 1), "float32"), views=3))
        visible = np.zeros(cells + 1)
        visible[np.unique(keep.sum(axis=(1, 2, 3)))] = 1.0
        assert MaskDistribution.fixed_count(cells, rate).visible == tuple(visible)


@pytest.mark.parametrize("sampling", ("bernoulli", "fixed_count"))
@pytest.mark.parametrize("rate", (0.5, 0.8))
def test_the_layer_hides_each_set_as_often_as_its_law(sampling, rate):
    trials = 20_000
    mask = RandomGridMask(2, rate, sampling=sampling, seed=5)
    keep = mask.sample(np.zeros((1, 3, 5, 1), "float32"), views=trials)
    hidden = ~np.asarray(keep).reshape(trials, 6)
    law = getattr(MaskDistribution, sampling)(6, rate)
    for touched in views(6):
        found = int(hidden[:, touched].all(axis=1).sum())
        share = min(1.0, law.hidden(int(touched.sum())))
        assert stats.binomtest(found, trials, share).pvalue > 1e-5


# How sure counts are.


@some
@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.floats(1e-6, 0.49),
)
def test_bounds_are_those_of_scipy(counted, alpha):
    low, high = interval(*counted, alpha)
    assert lower_bound(*counted, alpha) == pytest.approx(low, abs=1e-9)
    assert upper_bound(*counted, alpha) == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize("trials", (1, 2, 7, 60))
@pytest.mark.parametrize("alpha", (1e-3, 0.05, 0.3, 0.9))
def test_bounds_are_wrong_as_often_as_alpha_where_it_is_worst(trials, alpha):
    """Just beyond a bound, where that bound is wrong and the next one is not."""
    counts = np.arange(trials + 1)
    low, high = (f(counts, trials, alpha) for f in (lower_bound, upper_bound))
    below = low[1:, None] * (1.0 - 1e-9)
    above = 1.0 - (1.0 - high[:-1, None]) * (1.0 - 1e-9)
    for share, wrong in ((below, low > below), (above, high < above)):
        chance = stats.binom.pmf(counts, trials, share)
        np.testing.assert_allclose((chance * wrong).sum(axis=1), alpha, rtol=1e-5)


@pytest.mark.parametrize("share", (0.03, 0.5, 0.9))
def test_no_more_bounds_than_alpha_are_wrong(share):
    counts = np.random.default_rng(6).binomial(50, share, 20_000)
    for wrong in (
        lower_bound(counts, 50, ALPHA) > share,
        upper_bound(counts, 50, ALPHA) < share,
    ):
        found = stats.binomtest(int(wrong.sum()), 20_000, ALPHA, alternative="greater")
        assert found.pvalue > 1e-4


def test_bounds_of_small_integers_do_not_overflow():
    for dtype in ("uint8", "int8", "uint16"):
        most = np.iinfo(dtype).max
        counts = np.array([0, 1, most // 2, most], dtype)
        for bound in (lower_bound, upper_bound):
            found = bound(counts, counts[-1], 0.05)
            np.testing.assert_array_equal(found, bound(counts.astype(int), most, 0.05))


@pytest.mark.parametrize(
    "rate, expected",
    [
        (Fraction(3, 4), [25, 108, None]),
        (Fraction(4, 5), [20, 46, 573, None]),
        (Fraction(9, 10), [14, 19, 27]),
        (Fraction(19, 20), [12, 14, 16]),
        (Fraction(1, 2), [None]),
    ],
)
def test_masks_needed_are_the_fewest_that_majority_certifies(rate, expected):
    law = MaskDistribution.bernoulli(16, float(rate))
    found = [masks_needed(law, size, 1e-3) for size in range(1, len(expected) + 1)]
    assert found == expected
    for size, masks in enumerate(expected, start=1):
        if masks is None:
            assert not majority(np.array([10**6, 0]), 0, law, [size], 1e-3)[0]
            continue
        assert majority(np.array([masks, 0]), 0, law, [size], 1e-3)[0]
        assert not majority(np.array([masks - 1, 0]), 0, law, [size], 1e-3)[0]
