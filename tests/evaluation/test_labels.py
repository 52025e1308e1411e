"""Whoever takes labels refuses what could only be compared wrongly with predictions."""

import numpy as np
import pytest
import toy

import keras_maskdef as kmd
from keras_maskdef.certification import Certificate, Certificates
from keras_maskdef.evaluation import AttackSetting
from keras_maskdef.evaluation.matched import match_strength
from keras_maskdef.reporting.pictures import plot_votes

IMAGES, LABELS = toy.data(6)
FGSM = AttackSetting("fgsm", "linf", 0.1)
MASK = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
PROOF = Certificate("cells", 1, LABELS, np.ones(6, bool))
TAKERS = {
    "figures": PROOF.figures,
    "Certificates": lambda y: Certificates("exact", None, (PROOF,), np.ones(6), y),
    "certify": lambda y: kmd.certify(toy.classifier(), IMAGES, y, mask=MASK),
    "evaluate": lambda y: kmd.evaluate(
        toy.vote(),
        (IMAGES, y),
        [FGSM],
        eot_samples=(1,),
        repeats=1,
        sanity_checks=False,
    ),
    "match_strength": lambda y: match_strength(
        toy.classifier(), (IMAGES, y), FGSM, accuracy=0.5
    ),
    "craft": lambda y: kmd.attacks.craft("fgsm", toy.classifier(), IMAGES, y, 0.1),
    "plot_votes": lambda y: plot_votes(
        toy.vote(), IMAGES, IMAGES, y, ("a", "b", "c"), "/dev/null/no"
    ),
}
WRONG = {
    "a column": LABELS[:, None],
    "one-hot": np.eye(3, dtype=int)[LABELS],
    "strings": LABELS.astype(str),
    "objects": LABELS.astype(object),
    "floats": LABELS.astype(float),
    "booleans": LABELS == 1,
    "too few": LABELS[:5],
    "too many": np.append(LABELS, 0),
    "one": np.int64(1),
    "negative": LABELS - 1,
    "beyond all classes": LABELS + 1,
}
# A result does not know how many classes there are.
NEEDS_MODEL = {"figures", "Certificates"}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("taker", TAKERS)
def test_wrong_labels_are_refused(taker, wrong):
    if wrong == "beyond all classes" and taker in NEEDS_MODEL:
        return
    with pytest.raises(ValueError, match="`labels` must be .*Received: labels"):
        TAKERS[taker](WRONG[wrong])


@pytest.mark.parametrize("taker", sorted({*TAKERS} - {"plot_votes"}))
@pytest.mark.parametrize("kind", [list, np.uint8, np.int32])
def test_integers_of_any_kind_are_labels(taker, kind):
    labels = LABELS.tolist() if kind is list else LABELS.astype(kind)
    TAKERS[taker](labels)


def test_figures_are_shares_of_the_images():
    proof = Certificate(
        "cells", 1, np.array([0, 1, 1, 2]), np.array([1, 1, 0, 1], bool)
    )
    figures = proof.figures(np.array([0, 1, 1, 1]))
    assert (figures["clean"], figures["certified"]) == (0.75, 0.5)
