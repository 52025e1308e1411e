"""Sanity checks of an evaluation: each fails where it should, and only there."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy

import keras_maskdef as kmd
from keras_maskdef.evaluation import AttackSetting, evaluate
from keras_maskdef.evaluation.checks import failures
from keras_maskdef.evaluation.frozen import frozen_masks
from keras_maskdef.results.report import Row
from keras_maskdef.results.score import Score


def row(attack, threat_model, accuracy, epsilon=0.1, library=None, samples=None):
    scores = {"vote": None if accuracy is None else Score(accuracy, 100)}
    return Row(attack, "linf", epsilon, threat_model, scores, library, samples)


GOOD = [
    Row("clean", None, None, "none", {"vote": Score(0.9, 100)}),
    row("noise", "noise", 0.9),
    row("fgsm", "classifier", 0.5),
    row("pgd", "classifier", 0.3),
    row("pgd", "classifier", 0.1, epsilon=0.2),
    row("square", "white_box", 0.4),
    row("pgd", "adaptive", 0.2, samples=20),
    row("pgd", "frozen", 0.0),
    Row("the worst of all", None, None, "union", {"vote": Score(0.1, 100)}),
]


def test_a_good_evaluation_passes():
    assert failures(GOOD) == []


@pytest.mark.parametrize(
    ("number", "bad", "name"),
    [
        (1, row("noise", "noise", 0.2), "NoiseWarning"),
        (2, row("fgsm", "classifier", 0.2), "SingleStepWarning"),
        (4, row("pgd", "classifier", 0.4, epsilon=0.2), "EpsilonWarning"),
        (5, row("square", "white_box", 0.1), "GradientFreeWarning"),
        (6, row("pgd", "adaptive", 0.4, samples=20), "KnowledgeWarning"),
        (7, row("pgd", "frozen", 0.2), "FrozenMasksWarning"),
    ],
)
def test_each_failure_has_its_name(number, bad, name):
    rows = [*GOOD[:number], bad, *GOOD[number + 1 :]]
    found = failures(rows)
    assert [category.__name__ for category, _ in found] == [name] * len(found)
    assert found
    assert all("vote" in message for _, message in found)


def test_one_large_step_may_transfer_best():
    """Of an attack on a part, it says nothing of gradients; of the whole, it does."""
    transferred = [*GOOD]
    transferred[2] = row("fgsm", "classifier", 0.2)
    assert failures(transferred, {"vote": "bare"}) == []
    for bare in ({"vote": "vote"}, None):
        (found,) = failures(transferred, bare)
        assert found[0].__name__ == "SingleStepWarning"
    knows = [row("fgsm", "white_box", 0.1), row("pgd", "white_box", 0.2)]
    (found,) = failures([*GOOD, *knows], {"vote": "bare"})
    assert found[0].__name__ == "SingleStepWarning"


def test_a_bare_classifier_has_nothing_more_to_know():
    rows = [*GOOD]
    rows[6] = row("pgd", "adaptive", 0.4)
    assert failures(rows, {"vote": "vote"}) == []
    (found,) = failures(rows, {"vote": "bare"})
    assert found[0].__name__ == "KnowledgeWarning"


def test_the_adaptive_attack_counts_at_its_best():
    """Few masks a step may be weak; another size or attack says nothing."""
    weak = row("pgd", "adaptive", 0.8, samples=1)
    others = [row("bim", "classifier", 0.05), row("pgd", "classifier", 0.05, 0.3)]
    names = {category.__name__ for category, _ in failures([*GOOD, weak, *others])}
    assert "KnowledgeWarning" not in names


@pytest.mark.parametrize("number", range(1, 8))
def test_a_hundredth_is_no_failure_and_nothing_none(number):
    for accuracy in (None, GOOD[number].scores["vote"].accuracy + 0.005):
        shifted = row(
            GOOD[number].attack,
            GOOD[number].threat_model,
            accuracy,
            GOOD[number].epsilon,
            samples=GOOD[number].samples,
        )
        assert failures([*GOOD[:number], shifted, *GOOD[number + 1 :]]) == []


def test_a_model_without_gradients_is_found_out():
    """It rounds its input, so that attacks by gradient go nowhere."""

    class Rounded(keras.Model):
        from_logits = True

        def __init__(self):
            super().__init__()
            self.inner = toy.classifier()

        def call(self, images):
            return self.inner(tf.round(images))

        def compute_output_shape(self, shape):
            return (shape[0], toy.CLASSES)

    attacks = [
        AttackSetting("pgd", "linf", 0.5, options={"steps": 5}),
        AttackSetting("square", "linf", 0.5, options={"steps": 50}),
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = evaluate(
            Rounded(), toy.data(24), attacks, ("white_box",), adaptive=attacks[:1]
        )
    names = {each["name"] for each in report.warnings}
    assert "GradientFreeWarning" in names
    assert names <= {each.category.__name__ for each in caught}


def test_controls_of_a_vote_are_run_and_told():
    with pytest.warns(match="with its masks frozen, pgd Linf 0.01 leaves"):
        report = evaluate(
            toy.vote(),
            toy.data(16),
            [AttackSetting("fgsm", "linf", 0.01)],
            adaptive=[AttackSetting("pgd", "linf", 0.01)],
            eot_samples=(1,),
        )
    assert "noise Linf 0.01" in [row.title for row in report.rows]
    assert "FrozenMasksWarning" in {each["name"] for each in report.warnings}
    assert any("masks frozen" in note for note in report.notes)


def test_frozen_masks_are_the_same_for_all():
    vote = toy.vote()
    images = np.repeat(toy.data(1)[0], 6, axis=0)
    inputs = keras.Input(images.shape[1:])
    sequential = keras.Sequential([inputs, kmd.RandomGridMask(2), toy.classifier()])
    behind = keras.Model(inputs, vote(kmd.MedianFilter(2)(inputs)))
    for model in (vote, sequential, behind):
        fixed = frozen_masks(model, images.shape[1:], seed=1)
        outputs = [fixed.predict(images, verbose=0) for _ in range(2)]
        np.testing.assert_array_equal(*outputs)
        np.testing.assert_allclose(outputs[0], outputs[0][:1].repeat(6, 0), atol=1e-6)
        other = frozen_masks(model, images.shape[1:], seed=2)
        assert (other.predict(images, verbose=0) != outputs[0]).any()
    assert frozen_masks(toy.classifier(), images.shape[1:]) is None
