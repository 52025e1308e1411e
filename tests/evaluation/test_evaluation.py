import io
import json
import warnings

import keras
import matplotlib.image
import numpy as np
import pytest
import toy
from rich.console import Console

import keras_maskdef as kmd
from keras_maskdef.attacks import craft
from keras_maskdef.core.fingerprint import of_model
from keras_maskdef.evaluation import AttackSetting, Defence, evaluate
from keras_maskdef.evaluation.rows import still_falling
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.evaluation.threat_models import adaptive
from keras_maskdef.inspection.structure import bare_classifier, through_exact_medians
from keras_maskdef.reporting.pictures import plot_votes
from keras_maskdef.reporting.rows_picture import draw_rows
from keras_maskdef.results.score import Score

ATTACKS = [
    AttackSetting("fgsm", "linf", 0.05),
    AttackSetting("deepfool", "l2", 1.0),
    AttackSetting("deepfool", "l2", 2.0),
]
ADAPTIVE = [AttackSetting("bim", "linf", 0.05)]
QUICK = {
    "eot_samples": (1, 4),
    "repeats": 10,
    "batch_size": 16,
    "sanity_checks": False,
}


@pytest.fixture(scope="module")
def defences():
    classifier = toy.classifier()
    return {"bare": classifier, "vote": toy.vote(classifier)}


@pytest.fixture(scope="module")
def report(defences):
    return evaluate(defences, toy.data(), ATTACKS, adaptive=ADAPTIVE, **QUICK)


def scores(report, title, name="vote"):
    return {row.title: row for row in report.rows}[title].scores[name]


def test_rows_and_columns(report):
    assert [row.title for row in report.rows] == [
        "clean",
        "fgsm Linf 0.05",
        "deepfool L2 1",
        "deepfool L2 2",
        "adaptive bim Linf 0.05, 1 EOT sample",
        "adaptive bim Linf 0.05, 4 EOT samples",
        "worst case",
    ]
    assert report.defences == ["bare", "vote"]
    assert report.columns == {
        "bare": {"bare": "bare", "votes": None},
        "vote": {"bare": "bare", "votes": 3},
    }
    assert report.rows[-1].threat_model == "union"


def test_a_bare_classifier_has_a_column_of_its_own():
    """Also two votes that were loaded apart, around one classifier."""
    votes = {"a": toy.vote(), "b": toy.vote(pooling="geometric")}
    found = evaluate(votes, toy.data(8), ATTACKS[:1], adaptive=ADAPTIVE, **QUICK)
    assert found.defences == ["bare classifier", "a", "b"]
    assert found.columns["b"] == {"bare": "bare classifier", "votes": 3}


def test_scores_are_those_of_the_images(report, defences):
    images, labels = toy.data()
    made = craft("fgsm", defences["bare"], images, labels, 0.05, batch_size=16)
    right = defences["bare"].predict(made, verbose=0).argmax(-1) == labels
    first = defences["bare"].predict(images, verbose=0).argmax(-1) == labels
    score = scores(report, "fgsm Linf 0.05", "bare")
    assert 0 < score.accuracy < 1
    assert score.accuracy == score.worst == pytest.approx(right.mean())
    assert score.conditional == pytest.approx(right[first].mean())
    assert score.conditional_images == first.sum() < len(images)


@pytest.mark.parametrize("name", ["bare", "vote"])
def test_every_progress_bar_ends_full(defences, name, tmp_path):
    """Also that of the speed of votes, where nothing votes."""
    left = {}

    def start(title, total):
        left[title] = total
        return lambda done: left.update({title: left[title] - done})

    options = {**QUICK, "folder": tmp_path / "run", "start": start}
    evaluate(defences[name], toy.data(8), ATTACKS[:1], adaptive=ADAPTIVE, **options)
    assert set(left.values()) == {0} and ("speed" in left) == (name == "vote")


def test_judgements_of_a_random_defence_differ(report):
    clean = scores(report, "clean")
    assert clean.worst < clean.accuracy < 1
    assert clean.votes is not None
    assert len(clean.votes) == 6  # up to twice as many as vote
    assert scores(report, "clean", "bare").votes is None


def test_the_last_row_is_at_most_all_others(report):
    for name in report.defences:
        above = [row.scores[name] for row in report.rows[:-1]]
        last = report.rows[-1].scores[name]
        assert last.accuracy <= min(score.accuracy for score in above)
        assert last.worst <= min(score.worst for score in above)


def test_the_adaptive_attack_is_at_least_as_strong(report):
    """On a linear classifier ten steps see all cells, with one mask a step or four."""
    knowing = scores(report, "adaptive bim Linf 0.05, 4 EOT samples").accuracy
    assert knowing <= scores(report, "adaptive bim Linf 0.05, 1 EOT sample").accuracy
    assert knowing < scores(report, "clean").accuracy - 0.1


def test_more_masks_only_while_accuracy_falls(defences):
    """A bare classifier has no masks to average over."""
    options = {**QUICK, "eot_samples": (1, 4, 8, 9)}
    data = toy.data(16)
    alone = evaluate(defences["bare"], data, [], adaptive=ADAPTIVE, **options)
    rows = [row for row in alone.rows if row.threat_model == "adaptive"]
    assert [row.samples for row in rows] == [None]  # no masks
    labels = np.zeros(4, int)
    falling = [Scenario("adaptive", "pgd", samples=n) for n in (1, 5, 20)]

    def outcome(right):
        return {"predictions": np.array([[[0] * right + [1] * (4 - right)]])}

    accuracies = dict(zip(falling, (4, 2, 2), strict=True))
    made = {(s, "vote"): outcome(right) for s, right in accuracies.items()}
    assert still_falling(falling[:1], made, labels)
    assert still_falling(falling[:2], made, labels)
    assert not still_falling(falling, made, labels)


def test_every_threat_model(defences):
    network = kmd.architectures.attention_unet((8, 8, 1), (2, 4))
    masker = kmd.SparseFeatureMasker(network)
    mask = kmd.RandomGridMask(2, 0.5)
    classifier = defences["bare"]
    defended = kmd.defend(classifier, masker, kmd.BitDepthReduction(3), {"mask": mask})
    found = evaluate(
        defended,
        toy.data(16),
        ATTACKS[:1],
        ("white_box", "classifier", "gray_box", "surrogate"),
        surrogate=toy.classifier(),
        adaptive=ADAPTIVE,
        **QUICK,
    )
    assert [row.threat_model for row in found.rows][:6] == [
        "none",
        "surrogate",
        "classifier",
        "gray_box",
        "white_box",
        "adaptive",
    ]
    assert [*found.rows[0].scores] == ["bare classifier", "defended"]


def test_a_seed_repeats_the_report_and_the_masks_go_on(defences):
    """An evaluation must not leave a defence in a state that is known."""
    vote = toy.vote(defences["bare"])
    state = vote.mask.seed_generator.state
    before = keras.ops.convert_to_numpy(state)

    def run(seed):
        options = {**QUICK, "seed": seed}
        data = toy.data(16)
        return evaluate(vote, data, ATTACKS[:1], adaptive=ADAPTIVE, **options).to_dict()

    assert run(5) == run(5)
    assert run(5)["rows"] != run(6)["rows"]
    np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(state))


def test_any_function_of_images_is_a_defence(defences):
    """A preprocessor of another library, attacked past its missing gradient."""
    classifier = defences["bare"]
    rounded = Defence.behind(np.round, classifier)
    images, labels = toy.data(16)
    np.testing.assert_allclose(
        rounded.outputs(images), classifier.predict(np.round(images), verbose=0)
    )
    found = evaluate(rounded, (images, labels), [], adaptive=ADAPTIVE, **QUICK)
    past = craft(
        "bim", rounded.white_box[0], images, labels, ADAPTIVE[0].epsilon, batch_size=16
    )
    right = (rounded.labels(past) == labels).mean()
    assert found.rows[1].scores["defended"].accuracy == pytest.approx(right)


def test_a_random_function_is_averaged_over(defences):
    rng = np.random.default_rng(0)

    def noisy(images):
        return np.clip(images + rng.normal(0, 0.3, images.shape), 0, 1)

    defence = Defence.behind(noisy, defences["bare"])
    found = evaluate(defence, toy.data(24), [], adaptive=ADAPTIVE, **QUICK)
    clean = found.rows[0].scores["defended"]
    assert clean.worst < clean.accuracy < 1
    assert [row.samples for row in found.rows[1:-1]] == [1, 4]
    (target,) = adaptive(defence, samples=7)
    assert target.view_logits(toy.data(5)[0]).shape == (7, 5, 3)


class Noisy(keras.Model):
    """Tells nobody how noisy it is, nor whether it returns logits."""

    def __init__(self, model, size):
        super().__init__()
        self.model, self.size = model, size
        self.seeds = keras.random.SeedGenerator()

    def call(self, images):
        noise = keras.random.normal(keras.ops.shape(images), seed=self.seeds)
        return self.model(images + self.size * noise)

    def compute_output_shape(self, shape):
        return (shape[0], toy.CLASSES)


def test_models_that_do_not_tell_all_are_not_taken_for_each_other(defences):
    noisy = {f"{size}": Noisy(defences["bare"], size) for size in (0.0, 5.0)}
    found = evaluate(noisy, toy.data(), [], adaptive=ADAPTIVE, **QUICK)
    clean = found.rows[0].scores
    assert clean["0.0"].accuracy == found.rows[0].scores["0.0"].worst
    assert clean["5.0"].accuracy < clean["0.0"].accuracy - 0.2
    fills = {
        f"{fill}": kmd.VotingEnsemble(
            defences["bare"], kmd.RandomGridMask(2, 0.5, fill_value=(fill,)), votes=3
        )
        for fill in (0.0, 1.0)
    }
    for fill in fills.values():
        fill(toy.data(2)[0])
    prints = {of_model(fill) for fill in fills.values()}
    assert len(prints) == 2 and None not in prints
    assert of_model(toy.classifier()) == of_model(toy.classifier()) is not None
    assert of_model(noisy["0.0"]) is None


def test_sigmoids_are_refused(defences):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Activation("sigmoid")(defences["bare"](inputs))
    with pytest.raises(ValueError, match="probabilities that sum to 1.*of a sigmoid"):
        evaluate(keras.Model(inputs, outputs), toy.data(8), ATTACKS[:1], **QUICK)
    single = keras.Sequential([inputs, keras.layers.Flatten(), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="2 classes or more"):
        evaluate(single, toy.data(8), ATTACKS[:1], **QUICK)


def test_a_mask_for_training_alone_is_not_random(defences):
    mask = kmd.RandomGridMask(2, 0.5, active="training")
    model = keras.Sequential([keras.Input((8, 8, 1)), mask, defences["bare"]])
    options = {**QUICK, "sanity_checks": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluate(model, toy.data(16), [], adaptive=ADAPTIVE, **options)
    (row,) = (row for row in found.rows if row.threat_model == "adaptive")
    assert row.samples is None
    assert not any("frozen" in note for note in found.notes)


def test_report_is_saved_and_printed(report, tmp_path):
    report.save(tmp_path / "report.json")
    stored = json.loads((tmp_path / "report.json").read_text())
    score = stored["rows"][-1]["scores"]["vote"]
    low, high = score["interval_95"]
    assert low <= score["accuracy"] <= high
    assert Score.from_dict(score) == report.rows[-1].scores["vote"]
    assert stored["settings"]["seed"] == 0
    page = io.StringIO()
    Console(width=100, file=page).print(report)
    text = page.getvalue()
    assert "adaptive bim Linf" in text
    assert "40 test images" in text


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


def test_pictures(report, defences, tmp_path):
    images, labels = toy.data(3)
    draw_rows(report, tmp_path / "rows.png")
    made = craft("fgsm", defences["bare"], images, labels, 0.2)
    names = tuple("abc")
    path = tmp_path / "votes.png"
    plot_votes(defences["vote"], images, made, labels, names, path)
    rows = matplotlib.image.imread(tmp_path / "rows.png")
    votes = matplotlib.image.imread(path)
    assert len(np.unique(rows[..., :3].reshape(-1, 3), axis=0)) > 20
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


def test_an_adaptive_attack_goes_through_both_gradients_of_a_median(defences):
    filtered = kmd.defend(defences["bare"], filters=[kmd.MedianFilter(3)])
    exact = through_exact_medians(filtered)
    assert exact.layers[1].gradient == "exact"
    assert through_exact_medians(exact) is None
    assert through_exact_medians(defences["bare"]) is None
    x, y = toy.data(16)
    np.testing.assert_array_equal(filtered(x), exact(x))
    report = evaluate({"filtered": filtered}, (x, y), [], adaptive=ADAPTIVE, **QUICK)
    ways = [
        craft("bim", model, x, y, 0.05, batch_size=16) for model in (filtered, exact)
    ]
    right = [filtered.predict(a, verbose=0).argmax(-1) == y for a in ways]
    score = report.rows[1].scores["filtered"].accuracy
    assert score == pytest.approx(np.all(right, axis=0).mean())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"defences": {}}, ValueError, "`defences` must hold at least one"),
        (
            {"defences": np.round},
            TypeError,
            r"Defence.behind\(.*defences\['defended'\]",
        ),
        ({"data": (np.zeros((2, 8, 8, 1)),)}, ValueError, "data of 1 parts"),
        ({"data": (np.full((2, 8, 8, 1), 2.0), [0, 1])}, ValueError, "images.max"),
        ({"data": (np.zeros((2, 8, 8, 1)), np.array([0, 3]))}, ValueError, "labels"),
        (
            {"data": (np.zeros((0, 8, 8, 1)), np.zeros(0, int))},
            ValueError,
            "at least one",
        ),
        ({"attacks": [AttackSetting("jsma", "linf", 1)]}, ValueError, "name='jsma'"),
        ({"threat_models": ("psychic",)}, ValueError, "gray_box.*'psychic'"),
        ({"threat_models": ("surrogate",)}, ValueError, "surrogate=None"),
        ({"attacks": (), "adaptive": ()}, ValueError, "never left out"),
        ({"eot_samples": ()}, ValueError, "rising integers"),
        ({"eot_samples": (5, 1)}, ValueError, r"eot_samples=\(5, 1\)"),
        ({"shard": (3, 2)}, ValueError, r"shard=\(3, 2\)"),
        ({"shard": (1, 2)}, ValueError, r"batches, 1"),
        (
            {"attacks": [AttackSetting("fgsm", "linf", 1, options={"steps": 3})]},
            ValueError,
            "steps=3",
        ),
        ({"attacks": [AttackSetting("fgsm", "linf", 0)]}, ValueError, "epsilon=0"),
        ({"data": (*toy.data(4), ("a", "b"))}, ValueError, "all 3 classes"),
        ({"repeats": 0}, ValueError, "repeats=0"),
    ],
)
def test_bad_arguments(defences, change, error, message):
    good = {"defences": defences, "data": toy.data(4), "attacks": ATTACKS[:1]}
    with pytest.raises(error, match=message):
        evaluate(**{**good, **change})
