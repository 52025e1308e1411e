import io
import json

import keras
import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

import keras_maskdef as kmd
from keras_maskdef import RandomGridMask, VotingEnsemble, datasets
from keras_maskdef.attacks import craft
from keras_maskdef.evaluation.evaluate import AttackSetting, evaluate
from keras_maskdef.evaluation.pictures import plot_report, plot_votes
from keras_maskdef.evaluation.score import Score
from keras_maskdef.layers._structure import bare_classifier, through_exact_medians

ATTACKS = [AttackSetting("fgsm", "linf", 0.1), AttackSetting("deepfool", "l2", 1.0)]
ADAPTIVE = AttackSetting("bim", "linf", 0.1)


@pytest.fixture(scope="module")
def digits():
    return datasets.sample("test[:24]")


@pytest.fixture(scope="module")
def defences(classifier):
    vote = VotingEnsemble(classifier, RandomGridMask(7, 0.25), votes=3)
    return {"bare": classifier, "vote": vote}


@pytest.fixture(scope="module")
def evaluation(defences, digits):
    return evaluate(defences, digits.images, digits.labels, ATTACKS, ADAPTIVE)


def test_rows_end_with_the_adaptive_attack(evaluation):
    report, _ = evaluation
    assert [row.title for row in report.rows] == [
        "clean",
        "fgsm linf 0.1",
        "deepfool l2 1",
        "adaptive bim linf 0.1",
    ]
    assert report.rows[-1].threat_model == "adaptive"
    assert report.defences == ["bare", "vote"]
    for row in report.rows[1:]:
        assert row.scores["bare"].accuracy <= report.rows[0].scores["bare"].accuracy


def test_defences_of_one_classifier_share_its_adversarial_images(evaluation, defences):
    _, crafted = evaluation
    assert [made.setting for made in crafted] == ATTACKS
    assert all(made.attacked is defences["bare"] for made in crafted)


def test_a_model_around_a_vote_is_attacked_without_the_vote(defences):
    inputs = keras.Input((28, 28, 1))
    halved = keras.layers.Rescaling(0.5)(inputs)
    bare = bare_classifier(keras.Model(inputs, defences["vote"](halved)))
    assert bare_classifier(defences["vote"]) is defences["bare"]
    x = datasets.sample("test[:3]").images
    np.testing.assert_allclose(bare(x), defences["bare"](0.5 * x), rtol=1e-4, atol=1e-5)


def test_scores_are_those_of_the_images(evaluation, defences, digits):
    report, crafted = evaluation
    for row, made in zip(report.rows[1:3], crafted, strict=True):
        predicted = defences["bare"].predict(made.images, verbose=0).argmax(-1)
        expected = np.mean(predicted == digits.labels)
        assert row.scores["bare"].accuracy == pytest.approx(expected)


def test_a_seed_repeats_the_report(defences, digits):
    def run():
        keras.utils.set_random_seed(5)
        classifier = defences["bare"]
        vote = VotingEnsemble(classifier, RandomGridMask(7, 0.25), votes=3)
        arguments = {"vote": vote}, digits.images, digits.labels, ATTACKS, ADAPTIVE
        return evaluate(*arguments, seed=5)[0].to_dict()

    assert run() == run()


def test_report_is_saved_and_printed(evaluation, tmp_path):
    report, _ = evaluation
    report.save(tmp_path / "report.json")
    stored = json.loads((tmp_path / "report.json").read_text())
    score = stored["rows"][-1]["scores"]["vote"]
    low, high = score["interval_95"]
    assert low <= score["accuracy"] <= high
    assert score["images"] == 24
    assert stored["settings"]["seed"] == 0
    page = io.StringIO()
    Console(width=80, file=page).print(report)
    text = page.getvalue()
    assert "adaptive bim linf" in text
    assert "24 test images" in text


@pytest.mark.parametrize(
    ("right", "images", "interval"),
    # Wilson (1927), as computed by R's prop.test(correct = FALSE).
    [
        (0, 10, (0.0, 0.2775328)),
        (5, 10, (0.2365931, 0.7634069)),
        (81, 263, (0.2552998, 0.3661978)),
        (10, 10, (0.7224672, 1.0)),
    ],
)
def test_wilson_interval(right, images, interval):
    assert Score(right / images, images).interval() == pytest.approx(interval, abs=1e-4)


def test_pictures(evaluation, defences, digits, tmp_path):
    report, crafted = evaluation
    plot_report(report, tmp_path / "bars.png")
    plot_votes(
        defences["vote"],
        digits.images[:3],
        crafted[0].images[:3],
        digits.labels[:3],
        digits.class_names,
        tmp_path / "votes.png",
    )
    bars = matplotlib.image.imread(tmp_path / "bars.png")
    votes = matplotlib.image.imread(tmp_path / "votes.png")
    # All four defences' colours and black text; wider than tall; rows of images.
    assert bars.shape[1] > bars.shape[0]
    assert len(np.unique(bars[..., :3].reshape(-1, 3), axis=0)) > 20
    assert votes.shape[0] > 300


def test_the_bare_classifier_of_a_defended_model():
    classifier = kmd.architectures.lenet()
    network = kmd.architectures.attention_unet((28, 28, 1), (2, 4))
    front = [kmd.SparseFeatureMasker(network), kmd.MedianFilter(2)]
    mask = kmd.RandomGridMask(7)
    defended = kmd.defend(classifier, front[0], front[1], voting=mask)
    assert bare_classifier(defended) is classifier
    assert bare_classifier(classifier) is classifier
    # Layers that are no defence are a part of the classifier.
    halve = keras.layers.Rescaling(0.5)
    stack = [keras.Input((28, 28, 1)), mask, halve, *front, classifier]
    bare = bare_classifier(keras.Sequential(stack))
    x = np.random.default_rng(0).random((2, 28, 28, 1)).astype("float32")
    np.testing.assert_allclose(bare(x), classifier(x / 2), atol=1e-5)


def test_an_adaptive_attack_goes_through_both_gradients_of_a_median(defences, digits):
    filtered = kmd.defend(defences["bare"], filters=[kmd.MedianFilter(3)])
    exact = through_exact_medians(filtered)
    assert exact.layers[1].gradient == "exact"
    assert through_exact_medians(exact) is None
    assert through_exact_medians(defences["bare"]) is None
    x, y = digits.images, digits.labels
    np.testing.assert_array_equal(filtered(x), exact(x))
    report, _ = evaluate({"filtered": filtered}, x, y, [], ADAPTIVE)
    attacks = [
        craft(ADAPTIVE.name, m, x, y, ADAPTIVE.epsilon) for m in (filtered, exact)
    ]
    right = [filtered.predict(a, verbose=0).argmax(-1) == y for a in attacks]
    score = report.rows[-1].scores["filtered"].accuracy
    assert score == pytest.approx(np.all(right, axis=0).mean())
