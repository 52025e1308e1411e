"""Masks of certificates, drawn in portions."""

import subprocess
import sys
import tracemalloc

import keras
import numpy as np
import pytest
import toy
from paths import SUPPORT

import keras_maskdef as kmd
from keras_maskdef.certification import _drawn, certify
from keras_maskdef.certification._drawn import drawn
from keras_maskdef.certification.sampled import counts_given

IMAGES, _ = toy.data(3)


def kept(rows):
    """What draws the rows in turn, and the sizes that were asked for."""
    asked = []

    def draw(count):
        start = sum(asked)
        asked.append(count)
        return rows[start : start + count]

    return draw, asked


def tally(portions):
    """How often each mask was drawn to choose, and how often to count."""
    found = {}
    for masks, selected, counted in portions:
        for mask, *times in zip(masks, selected, counted, strict=True):
            before = found.get(mask.tobytes(), (0, 0))
            found[mask.tobytes()] = tuple(np.add(before, times))
    return found


@pytest.mark.parametrize("cells, most", [(3, 8), (12, 2)])
@pytest.mark.parametrize("selection", [1, 10, 40])
def test_portions_hold_every_mask_that_was_drawn(monkeypatch, cells, most, selection):
    monkeypatch.setattr(_drawn, "_NUMBERS", 24)
    rows = np.random.default_rng(0).random((60, cells)) < 0.5
    draw, asked = kept(rows)
    portions = list(drawn(draw, cells, selection, 60 - selection))
    assert sum(asked) == 60 and max(asked) == most
    expected = {}
    for number, row in enumerate(rows):
        times = expected.setdefault(row.tobytes(), [0, 0])
        times[number >= selection] += 1
    assert tally(portions) == {mask: tuple(each) for mask, each in expected.items()}
    # A small grid has few masks, and they are asked for once.
    assert (len(portions) == 1) == (cells == 3)
    assert max(len(masks) for masks, _, _ in portions) <= 2 * most


def test_a_draw_makes_all_masks_of_a_usual_run():
    _, _, counted = next(drawn(lambda n: np.zeros((n, 784), bool), 784, 1000, 10_000))
    assert counted.tolist() == [10_000]


@pytest.mark.parametrize("method", ["per_set", "margin", "majority"])
def test_certificates_from_portions(monkeypatch, method):
    """With masks enough they are those from one draw, and of exact."""
    mask = kmd.RandomGridMask(4, 0.8)
    defence = kmd.VotingEnsemble(toy.classifier(), mask)
    options = {"samples": 20_000, "selection": 700, "sizes": [1], "alpha": 1e-6}
    one = certify(defence, IMAGES, method=method, **options)
    monkeypatch.setattr(_drawn, "_NUMBERS", 4000)
    many = certify(defence, IMAGES, method=method, **options)
    np.testing.assert_array_equal(many.views, one.views)
    for each, other in zip(one.certificates, many.certificates, strict=True):
        np.testing.assert_array_equal(each.predicted, other.predicted)
        np.testing.assert_array_equal(each.certified, other.certified)


def test_images_that_memory_parts_have_the_same_certificates():
    defence = kmd.VotingEnsemble(toy.classifier(), kmd.RandomGridMask(2, 0.8))
    options = {"method": "per_set", "samples": 2000, "sizes": [1]}
    together = certify(defence, IMAGES, **options)
    apart = certify(defence, IMAGES, memory=1 << 18, **options)
    np.testing.assert_array_equal(apart.views, together.views)
    for each, other in zip(together.certificates, apart.certificates, strict=True):
        np.testing.assert_array_equal(each.certified, other.certified)


def test_a_billion_samples_are_drawn_in_portions(monkeypatch):
    """Who asks for them has to wait; memory is what it is for some."""
    asked, once = [], kmd.RandomGridMask.sample

    def sample(self, images, views=None, seed=None):
        if views is None:
            return once(self, images, seed=seed)
        asked.append(views)
        if len(asked) > 4:
            raise KeyboardInterrupt
        return np.zeros((views, 1, 16, 16), bool)

    monkeypatch.setattr(kmd.RandomGridMask, "sample", sample)
    network = keras.Sequential(
        [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    defence = kmd.VotingEnsemble(network, kmd.RandomGridMask(1, 0.8))
    options = {"method": "majority", "samples": 10**9, "sizes": [1], "memory": 1 << 20}
    tracemalloc.start()
    with pytest.raises(KeyboardInterrupt):
        certify(defence, np.zeros((1, 16, 16, 1), "float32"), **options)
    assert tracemalloc.get_traced_memory()[1] < 1 << 30
    tracemalloc.stop()
    assert len(asked) == 5 and max(asked) <= _drawn.masks_of_a_draw(256)


def test_more_votes_than_float32_can_count():
    hidden, times = np.ones((2, 4), bool), np.array([1 << 24, 1])
    sets = np.eye(4, dtype=bool)
    counts = counts_given(hidden, np.array([1, 1]), times, sets, classes=2)
    assert (counts == [0, (1 << 24) + 1]).all()


def test_memory_of_many_samples():
    """Drawn all at once they took 1699 MiB, in portions 325."""
    script = SUPPORT / "certify_many_samples.py"
    memory = 64
    command = [sys.executable, script, "6000000", str(memory << 20)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < memory + 400
