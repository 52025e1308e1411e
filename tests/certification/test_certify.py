"""Certificates of models: against brute force, against attacks, and refused."""

import json
from fractions import Fraction
from itertools import combinations, product

import keras
import numpy as np
import pytest
import toy
from meanwhile import begin_meanwhile

import keras_maskdef as kmd
from keras_maskdef.certification import Certificates, _run, certify
from keras_maskdef.certification import answers as answers_module
from keras_maskdef.certification.answers import Answers
from keras_maskdef.certification.methods import METHODS
from keras_maskdef.certification.parts import take_apart
from keras_maskdef.reporting.certificate_curves import plot_certificates

CELLS = 16  # of toy images, two pixels each


def small_network(shape, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(3, bias_initializer="random_normal"),
        ]
    )


def easy(count=40, seed=0):
    """Images whose class every cell shows, through more noise or less."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    images = (
        rng.normal(0.0, 1.0, (count, 8, 8, 1))
        * np.linspace(0.1, 1.2, count)[:, None, None, None]
    )
    for image, label in zip(images, labels, strict=True):
        image[label // 2 :: 2, label % 2 :: 2] += 1.0
    return images.astype("float32"), labels


def reader():
    """Sums the places of `easy` where each class shows."""
    keras.utils.set_random_seed(0)
    model = small_network((8, 8, 1))
    weights = np.zeros((8, 8, 8))
    for label in range(3):
        weights[label // 2 :: 2, label % 2 :: 2, label] = 1.0
    read = np.eye(8, 3)
    model.set_weights([weights.reshape(64, 8), np.zeros(8), read, np.zeros(3)])
    return model


def vote(model, cell_size=2, mask_rate=0.75, sampling="fixed_count", **options):
    mask = kmd.RandomGridMask(cell_size, mask_rate, sampling=sampling, **options)
    return kmd.VotingEnsemble(model, mask)


def masked_by_hand(image, hidden, cell_size, fill):
    """Cell by cell, pixel by pixel."""
    image = image.copy()
    columns = -(-image.shape[1] // cell_size)
    for row, column in product(range(image.shape[0]), range(image.shape[1])):
        if row // cell_size * columns + column // cell_size in hidden:
            image[row, column] = fill
    return image


def shares_by_hand(model, image, cell_size, fill, weight, cells):
    """The share of each class among masks that hide a set, for each set."""
    subsets = [s for n in range(cells + 1) for s in combinations(range(cells), n)]
    views = [masked_by_hand(image, hidden, cell_size, fill) for hidden in subsets]
    answers = model.predict_on_batch(np.stack(views)).argmax(-1)
    return subsets, answers, [weight(len(hidden)) for hidden in subsets]


def survives(subsets, answers, weights, attacked):
    """Whether the vote stands if the attacker answers all views that it reaches."""
    votes = [Fraction(0)] * 3
    clean = [Fraction(0)] * 3
    for hidden, answer, weight in zip(subsets, answers, weights, strict=True):
        clean[answer] += weight
        if set(attacked) <= set(hidden):
            votes[answer] += weight
    top = max(range(3), key=lambda label: clean[label])
    if clean.count(clean[top]) > 1:
        return -1, False
    reached = sum(weights) - sum(votes)
    return top, all(votes[top] > votes[b] + reached for b in range(3) if b != top)


@pytest.mark.parametrize("sampling", ["bernoulli", "fixed_count"])
@pytest.mark.parametrize(
    ("shape", "cell_size", "fill"),
    [((4, 4, 1), 2, 0.0), ((5, 7, 3), 3, (0.1, 0.5, 0.9)), ((6, 4, 2), 2, -1.0)],
)
def test_exact_is_what_brute_force_finds(shape, cell_size, fill, sampling):
    rate = Fraction(4, 5)
    cells = -(-shape[0] // cell_size) * -(-shape[1] // cell_size)
    keep = cells - round(float(rate) * cells)
    weight = {
        "bernoulli": lambda n: rate**n * (1 - rate) ** (cells - n),
        "fixed_count": lambda n: Fraction(int(cells - n == keep)),
    }[sampling]
    model = small_network(shape)
    images = np.random.default_rng(0).normal(0.5, 1.5, (12, *shape)).astype("float32")
    mask = {"fill_value": fill, "sampling": sampling, "mask_rate": float(rate)}
    found = certify(vote(model, cell_size, **mask), images, threats=["cells"])
    largest = found.largest("cells")
    assert (largest > 0).any() and (largest < found.of("cells")[-1].size).any()
    for number, image in enumerate(images):
        table = shares_by_hand(model, image, cell_size, fill, weight, cells)
        for certificate in found.of("cells"):
            attacks = combinations(range(cells), certificate.size)
            outcomes = [survives(*table, attacked) for attacked in attacks]
            assert certificate.predicted[number] == outcomes[0][0]
            assert certificate.certified[number] == all(ok for _, ok in outcomes)


def test_patches_are_the_cells_that_they_touch():
    images, labels = easy(30)
    defence = vote(reader(), mask_rate=0.9)
    found = certify(
        defence, images, labels, threats=["cells", "patch", "aligned_patch"]
    )
    np.testing.assert_array_equal(
        found["patch", 1].certified, found["cells", 1].certified
    )
    np.testing.assert_array_equal(
        found["aligned_patch", 2].certified, found["cells", 1].certified
    )
    # Wherever it is, a patch of two pixels can touch four cells, not any four.
    assert (found["patch", 2].certified >= found["cells", 4].certified).all()
    assert found["patch", 2].certified.any()


@pytest.mark.parametrize("size", [1, 2])
def test_double_masking_is_what_brute_force_finds(size):
    images, _ = toy.data(12)
    model = small_network(images.shape[1:])
    found = certify(
        vote(model, 3), images, method="double_masking", threats=["cells"], sizes=[size]
    )
    covers = list(combinations(range(9), size))
    for number, image in enumerate(images):
        seen = {
            (one, other): masked_by_hand(image, {*one, *other}, 3, 0.0)
            for one, other in product(covers, covers)
        }
        answers = model.predict_on_batch(np.stack(list(seen.values()))).argmax(-1)
        pairs = dict(zip(seen, answers, strict=True))
        assert found["cells", size].certified[number] == (len({*answers}) == 1)
        single = [pairs[one, one] for one in covers]
        expected = max({*single}, key=lambda label: (single.count(label), -label))
        for one in covers:
            stays = {pairs[one, other] for other in covers}
            if pairs[one, one] != expected and len(stays) == 1:
                expected = pairs[one, one]
                break
        assert found["cells", size].predicted[number] == expected


@pytest.mark.parametrize("method", ["majority", "margin", "per_set"])
def test_samples_never_prove_more_than_all_masks(method):
    images, labels = easy(40)
    defence = vote(reader(), sampling="bernoulli", mask_rate=0.8)
    options = {"threats": ["cells"], "sizes": [1, 2], "samples": 3000, "alpha": 1e-6}
    sampled = certify(defence, images, labels, method, **options)
    exact = certify(defence, images, labels, threats=["cells"], sizes=[1, 2])
    for size in (1, 2):
        one, all_masks = sampled["cells", size], exact["cells", size]
        proven = one.certified
        assert not (proven & ~all_masks.certified).any()
        settled = one.predicted >= 0
        np.testing.assert_array_equal(
            one.predicted[settled], all_masks.predicted[settled]
        )
        assert (one.certified <= settled).all()
    assert sampled["cells", 1].certified.any()
    assert sampled.alpha == 1e-6 and exact.alpha is None


def test_an_image_has_the_same_certificate_in_any_company():
    images, _ = toy.data(6)
    defence = vote(toy.classifier(), sampling="bernoulli")
    options = {"method": "per_set", "samples": 500, "threats": ["cells"]}
    together, alone = (
        certify(defence, images[:count], **options)["cells", 1] for count in (6, 1)
    )
    assert together.certified[0] == alone.certified[0]
    assert together.predicted[0] == alone.predicted[0]


def test_views_that_are_alike_are_asked_for_once():
    images, _ = toy.data(4)
    images[0] = 0.0
    images[1, :4] = 0.0
    images[2, 0, 0, 0] = 0.0  # one pixel of a cell is not the cell
    defence = vote(small_network(images.shape[1:]), sampling="bernoulli")
    found = certify(defence, images)
    np.testing.assert_array_equal(found.views, [1, 2**8, 2**16, 2**16])
    assert found["cells", 1].certified[0]


def test_the_images_are_those_that_the_mask_sees():
    """A pointwise layer before the mask, and one behind it that is not."""
    images, _ = toy.data(10)
    inputs = keras.Input(images.shape[1:])
    x = kmd.BitDepthReduction(1)(keras.layers.Rescaling(0.9, offset=0.05)(inputs))
    x = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")(x)
    x = kmd.MedianFilter(3)(x)
    behind = small_network(images.shape[1:])
    model = keras.Model(inputs, behind(x))
    found = certify(model, images)
    seen = kmd.kernels.bit_depth((images * 0.9 + 0.05).astype("float32"), 1)
    rest = keras.Sequential(
        [keras.Input(images.shape[1:]), kmd.MedianFilter(3), behind]
    )
    expected = certify(vote(rest), seen)
    np.testing.assert_array_equal(
        found["cells", 1].predicted, expected["cells", 1].predicted
    )
    np.testing.assert_array_equal(
        found["cells", 1].certified, expected["cells", 1].certified
    )


def test_channels_first():
    images, _ = toy.data(10)
    images = np.concatenate([images, 1 - images], axis=-1)
    network = small_network(images.shape[1:])
    last = certify(vote(network), images)
    first_shape = (2, *images.shape[1:3])
    turned = keras.Sequential(
        [keras.Input(first_shape), keras.layers.Permute((2, 3, 1)), network]
    )
    defence = vote(turned, data_format="channels_first")
    first = certify(defence, np.moveaxis(images, -1, 1))
    for one, other in zip(last.certificates, first.certificates, strict=True):
        np.testing.assert_array_equal(one.certified, other.certified)
        np.testing.assert_array_equal(one.predicted, other.predicted)


def test_another_mask_and_no_vote():
    images, _ = toy.data(10)
    model = toy.classifier()
    mask = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
    expected = certify(vote(model), images)["cells", 1].certified
    for defence in (model, toy.vote(model), vote(model, sampling="partition")):
        found = certify(defence, images, mask=mask)["cells", 1].certified
        np.testing.assert_array_equal(found, expected)


class Sees(keras.layers.Layer):
    """What the tests of refusals put into a classifier."""

    def __init__(self, how, **options):
        super().__init__(**options)
        self.how = how

    def call(self, images):
        return self.how(images)


def behind(*layers):
    head = [keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, *head])


def fronted(layer):
    inputs = keras.Input((8, 8, 1))
    masked = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")(layer(inputs))
    return keras.Model(inputs, small_network((8, 8, 1))(masked))


def around():
    inputs = keras.Input((8, 8, 1))
    masked = kmd.RandomGridMask(2, 0.75)(inputs)
    head = small_network((8, 8, 2))
    return keras.Model(inputs, head(keras.layers.Concatenate()([masked, inputs])))


class Blur(keras.layers.Rescaling):
    def call(self, inputs):
        return keras.ops.average_pool(inputs, 3, 1, "same")


def voted_behind(function):
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, vote(small_network((8, 8, 1)))(function(inputs)))


class Lie(keras.Model):
    def call(self, images):
        return keras.ops.mean(images, axis=(1, 2))


def graphed(kind, twice=False):
    inputs = keras.Input((8, 8, 1))
    mask = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
    output = small_network((8, 8, 1))(mask(inputs))
    return kind(inputs, [output, output] if twice else output)


class Again(kmd.RandomGridMask):
    def sample(self, images, views=None, seed=None):
        return super().sample(images, views, seed)


class MeanFill(kmd.RandomGridMask):
    def apply(self, images, keep):
        shown = super().apply(images, keep)
        mean = keras.ops.mean(images, axis=(-3, -2, -1), keepdims=True)
        return keras.ops.where(keras.ops.equal(shown, 0.0), mean, shown)


class Dimmed(kmd.RandomGridMask):
    def apply(self, images, keep):
        return 0.5 * super().apply(images, keep)


def with_mask(mask):
    return lambda: kmd.VotingEnsemble(small_network((8, 8, 1)), mask)


def batch_statistics(images):
    return images - keras.ops.mean(images, axis=0, keepdims=True)


def noisy(images):
    return images + keras.random.normal(keras.ops.shape(images))


REFUSED = {
    "a median before the mask": (
        lambda: fronted(kmd.MedianFilter(3)),
        "MedianFilter",
    ),
    "a masker before the mask": (
        lambda: fronted(
            kmd.SparseFeatureMasker(
                keras.Sequential(
                    [keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same")]
                )
            )
        ),
        "SparseFeatureMasker",
    ),
    "a non-local mean before the vote": (
        lambda: kmd.defend(
            behind(),
            filters=[kmd.NonLocalMeans(4)],
            voting=kmd.RandomGridMask(2, 0.75),
        ),
        "NonLocalMeans",
    ),
    "a function of all pixels before the mask": (
        lambda: fronted(keras.layers.Activation(lambda x: x - keras.ops.mean(x))),
        "Activation may",
    ),
    "a layer that says it is a pointwise one": (
        lambda: fronted(Blur(1.0)),
        "Blur may",
    ),
    "a function of keras.ops before the mask": (
        lambda: fronted(lambda x: keras.ops.roll(x, 1, axis=1)),
        "Roll may",
    ),
    "one before a vote": (
        lambda: voted_behind(lambda x: x + keras.ops.mean(x)),
        "may",
    ),
    "a call of its own": (
        lambda: graphed(Lie),
        "without a `call` of its own",
    ),
    "two outputs": (
        lambda: graphed(keras.Model, twice=True),
        "to one output",
    ),
    "masks with a law of their own": (
        with_mask(Again(2, 0.75, sampling="fixed_count")),
        "`sample` of its own",
    ),
    "answers that are no numbers": (
        lambda: vote(behind(Sees(lambda x: x * float("nan")))),
        "finite numbers",
    ),
    "a model that is not built": (
        lambda: keras.Sequential([kmd.RandomGridMask(2), keras.layers.Flatten()]),
        "must be built",
    ),
    "a way around the mask": (around, "goes around the mask"),
    "a fill of the image": (
        with_mask(MeanFill(2, 0.75, sampling="fixed_count")),
        "depends on the image",
    ),
    "a mask of another kind": (
        with_mask(Dimmed(2, 0.75, sampling="fixed_count")),
        "as RandomGridMask does",
    ),
    "statistics of the batch": (
        lambda: vote(behind(Sees(batch_statistics))),
        "other images of the batch",
    ),
    "a random classifier": (lambda: vote(behind(Sees(noisy))), "same way"),
    "a mask within": (lambda: vote(behind(kmd.RandomGridMask(2, 0.5))), "one mask"),
    "a partition": (lambda: vote(behind(), sampling="partition"), "fixed_count"),
    "several rates": (lambda: vote(behind(), mask_rate=(0.5, 0.9)), "one mask rate"),
    "no mask": (behind, "with one RandomGridMask"),
    "half of the cells": (lambda: vote(behind(), mask_rate=0.5), "more than half"),
    "too many cells": (lambda: vote(behind(), cell_size=1), "at most 20 cells"),
}


@pytest.mark.parametrize(("defence", "says"), REFUSED.values(), ids=REFUSED)
def test_what_breaks_a_proof_is_refused(defence, says):
    images, _ = toy.data(10)
    with pytest.raises(ValueError, match=says):
        certify(defence(), images)


class AlwaysTraining(keras.layers.BatchNormalization):
    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


def test_batch_normalization_in_training_mode_is_refused():
    images, _ = toy.data(10)
    with pytest.raises(ValueError, match="other images|same way"):
        certify(vote(behind(AlwaysTraining())), images)
    # In prediction mode it is a scale and a shift.
    certify(vote(behind(keras.layers.BatchNormalization())), images)


def test_batch_statistics_show_on_black_images_too():
    images = np.zeros((10, 8, 8, 1), "float32")
    with pytest.raises(ValueError, match="other images|same way"):
        certify(vote(behind(AlwaysTraining())), images)


class Subclassed(keras.Model):
    """Nobody can tell its layers, nor write it down."""

    def __init__(self, inner, factor=1.0):
        super().__init__()
        self.inner, self.factor = inner, factor

    def call(self, images):
        return self.factor * self.inner(images)


@pytest.mark.parametrize("method", ["exact", "margin", "double_masking"])
def test_any_kind_of_classifier(method):
    images, _ = easy(8)
    plain = reader()
    flexible = keras.Input((None, None, 1))
    pooled = keras.layers.Resizing(8, 8, interpolation="nearest")(flexible)
    options = {"method": method, "samples": 200}
    expected = certify(vote(plain), images, **options)["cells", 1].certified
    for model in (Subclassed(plain), keras.Model(flexible, plain(pooled))):
        defence = kmd.VotingEnsemble(model, vote(plain).mask, from_logits=True)
        found = certify(defence, images, **options)["cells", 1].certified
        np.testing.assert_array_equal(found, expected)


def test_a_run_is_not_mixed_with_that_of_another_subclassed_model(tmp_path):
    images = np.zeros((3, 8, 8, 1), "float32")  # on which both say the same
    options = {"folder": tmp_path / "run", "resume": True}

    def defence(factor):
        model = Subclassed(reader(), factor)
        return kmd.VotingEnsemble(model, vote(reader()).mask, from_logits=True)

    certify(defence(1.0), images, **options)
    certify(defence(1.0), images, **options)
    with pytest.raises(ValueError, match="another configuration"):
        certify(defence(-1.0), images, **options)


def test_a_vote_is_the_same_before_and_after_its_first_call(tmp_path):
    images, _ = easy(3)
    defence = vote(reader())
    options = {"folder": tmp_path / "run", "resume": True}
    before = certify(defence, images, **options)
    defence.predict(images, verbose=0)
    assert certify(defence, images, **options).to_dict() == before.to_dict()


def test_partitions_need_no_law_for_double_masking():
    images, _ = toy.data(5)
    found = certify(
        vote(behind(), sampling="partition"), images, method="double_masking"
    )
    assert found.alpha is None


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"method": "proof"}, ValueError, "`method` must be one of"),
        ({"threats": "cells"}, ValueError, "in a sequence"),
        ({"threats": ["pixels"]}, ValueError, "`threats` must be one of"),
        ({"sizes": [0]}, ValueError, "at least 1"),
        ({"sizes": [17]}, ValueError, "at most 16"),
        ({"method": "majority", "samples": 5}, ValueError, "at least 25"),
        ({"method": "per_set", "samples": 25}, ValueError, "must be more"),
        ({"sizes": {"cell": [1]}}, ValueError, "`sizes` must be of `threats`"),
        ({"sizes": []}, ValueError, "one integer or more"),
        ({"sizes": 3}, ValueError, "one integer or more"),
        ({"seed": None}, ValueError, "`seed` must be an integer"),
        ({"labels": np.full(10, -1)}, ValueError, "integers from 0"),
        ({"method": "majority", "alpha": 0.0}, ValueError, "`alpha` must be in"),
        ({"method": "majority", "alpha": 2.0}, ValueError, "`alpha` must be"),
        (
            {"labels": np.zeros(3, int)},
            ValueError,
            "must be 10 integers from 0",
        ),
        ({"labels": np.zeros(10)}, ValueError, "must be 10 integers from 0"),
        ({"memory": 0}, ValueError, "`memory` must be"),
        ({"images": np.zeros((0, 8, 8, 1), "float32")}, ValueError, "at least one"),
        ({"images": np.full((2, 8, 8, 1), np.nan)}, ValueError, "finite"),
        ({"images": np.zeros((2, 8, 8, 1), int)}, TypeError, "floating point"),
        ({"defence": lambda x: x}, TypeError, "VotingEnsemble"),
        ({"mask": 0.75}, TypeError, "`mask` must be a RandomGridMask"),
        ({"resume": True, "folder": None}, ValueError, "`resume` needs"),
    ],
)
def test_arguments_are_checked(options, error, says):
    images, _ = toy.data(10)
    given = {"defence": vote(toy.classifier()), "images": images, **options}
    with pytest.raises(error, match=says):
        certify(**given)


def stopping_after(pieces):
    class Stopped(Exception):
        pass

    def start(description, total):
        def advance(done):
            nonlocal pieces
            pieces -= 1
            if not pieces:
                raise Stopped

        return advance

    return start, Stopped


@pytest.mark.parametrize("method", ["exact", "margin", "double_masking"])
def test_a_stopped_run_goes_on_to_the_same_bytes(method, tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "_PIECE", 1)
    images, labels = toy.data(6)
    defence = vote(toy.classifier())
    options = {"method": method, "samples": 400}
    certify(defence, images, labels, **options, folder=tmp_path / "whole")
    start, stopped = stopping_after(3)
    folder = tmp_path / "run"
    with pytest.raises(stopped):
        certify(defence, images, labels, **options, folder=folder, start=start)
    done = {path: path.stat().st_mtime_ns for path in folder.glob("outcomes/[!.]*")}
    assert len(done) == 3
    with pytest.raises(FileExistsError, match="resume"):
        certify(defence, images, labels, **options, folder=folder)
    found = certify(defence, images, labels, **options, folder=folder, resume=True)
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    results = [tmp_path / name / "certificates.json" for name in ("whole", "run")]
    assert results[0].read_bytes() == results[1].read_bytes()
    loaded = Certificates.load(results[0])
    assert loaded.to_dict() == found.to_dict()
    with pytest.raises(ValueError, match="another configuration"):
        other = vote(toy.classifier(), cell_size=3)
        certify(other, images, labels, **options, folder=folder, resume=True)


def test_no_more_views_at_once_than_the_memory_holds():
    images, _ = toy.data(3)
    model = small_network(images.shape[1:])
    sizes = []
    ask = model.predict_on_batch
    model.predict_on_batch = lambda x: (sizes.append(len(x)), ask(x))[1]
    # A view and its outputs are 64 + 64 + 8 + 3 floats.
    whole = certify(vote(model), images)
    assert {*sizes} == {7, 2048}  # the checks, and full batches
    sizes.clear()
    small = certify(vote(model), images, memory=100 * 4 * (64 + 64 + 8 + 3))
    assert {*sizes} == {7, 100}
    assert small.to_dict() == whole.to_dict()


def test_answers_are_those_of_the_layer():
    """The kernel's views are the layer's, and more cells than bits of an integer."""
    images = np.random.default_rng(0).random((2, 20, 20, 3)).astype("float32")
    model = small_network(images.shape[1:])
    defence = vote(model, sampling="bernoulli", fill_value=(0.1, 0.2, 0.3))
    parts = take_apart(defence)
    keep = np.asarray(defence.mask.sample(images, views=70))
    masks = [~keep[:, n].reshape(70, -1) for n in range(2)]
    found = Answers(parts, images.shape[1:], 1 << 30)(images, masks)
    views = defence.view_outputs(images, keep)
    np.testing.assert_array_equal(np.stack(found, 1), np.asarray(views).argmax(-1))


@pytest.fixture(scope="module")
def found():
    images, labels = easy(40)
    return certify(
        vote(reader(), sampling="bernoulli", mask_rate=0.8),
        images,
        labels,
        "margin",
        samples=200,
        threats=["cells", "patch", "aligned_patch"],
    )


def test_the_table_and_the_json_say_the_same(found, capsys):
    from rich.console import Console

    Console(width=80).print(found)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    plain = json.loads(json.dumps(found.to_dict()))
    for row in plain["rows"]:
        right = np.array(row["predicted_classes"]) == plain["labels"]
        proven = np.array(row["certified_images"], bool)
        assert row["certified"] == (right & proven).mean()
        assert row["coverage"] == proven.mean()
        assert row["abstained"] == (np.array(row["predicted_classes"]) < 0).mean()
        low, high = row["certified_interval_95"]
        assert low <= row["certified"] <= high
        assert f"{100 * row['certified']:.1f} (" in text
    assert "any cell" in text and "any 2 cells" in text and "Linf" in text


def test_sizes_are_counted_up_to_the_first_gap(found):
    cells = [each.certified for each in found.of("cells")]
    expected = [
        next((n for n, ok in enumerate(image) if not ok), len(image))
        for image in zip(*cells, strict=True)
    ]
    np.testing.assert_array_equal(found.largest("cells"), expected)
    with pytest.raises(KeyError, match="no certificate against"):
        found["cells", 9]


def test_without_labels_there_is_no_accuracy(found, tmp_path, capsys):
    from rich.console import Console

    images, _ = toy.data(10)
    unlabelled = certify(vote(toy.classifier()), images)
    Console(width=80).print(unlabelled)
    text = capsys.readouterr().out
    assert "coverage" in text and "clean" not in text
    for name, each in (("one", unlabelled), ("two", {"a": found, "b": found})):
        plot_certificates(each, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_laws_of_many_cells_and_of_one_half():
    """Where binomials overflow, and where rounding would give half more than half."""
    law = kmd.certification.MaskDistribution.bernoulli(4096, 0.9)
    assert law.hidden(3) == pytest.approx(0.9**3) and law.largest == 6
    half = kmd.certification.MaskDistribution.bernoulli(256, 0.5)
    assert half.largest == 0
    assert kmd.certification.masks_needed(half, 1, 1e-3) is None
    fixed = kmd.certification.MaskDistribution.fixed_count(1089, 0.5)
    assert fixed.hidden(1) == pytest.approx(544 / 1089) and fixed.hidden(1089) == 0


def one_wrong_pixel(monkeypatch, place_of):
    """A kernel that is wrong in one view of each call of 16 views or more."""
    kernel = kmd.kernels.grid_mask

    def wrong(images, keep, *arguments, **options):
        views = kernel(images, keep, *arguments, **options)
        if len(views) >= 16:
            views[place_of(len(views)), -1, -1, -1] += 1e-6
        return views

    monkeypatch.setattr(kmd.kernels, "grid_mask", wrong)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("place", [0, -1])
def test_a_kernel_that_is_wrong_proves_nothing(method, place, monkeypatch, tmp_path):
    images, _ = easy(3)
    sampling = "fixed_count" if method == "exact" else "bernoulli"
    defence = vote(reader(), sampling=sampling)
    options = {"method": method, "samples": 300, "selection": 50, "threats": ["cells"]}
    certify(defence, images, **options, sizes=[1])
    one_wrong_pixel(monkeypatch, lambda count: place % count)
    with pytest.raises(RuntimeError, match=r"proves nothing.*view \d+ of .*threads="):
        certify(defence, images, **options, sizes=[1], folder=tmp_path / "run")
    assert not (tmp_path / "run" / "certificates.json").exists()


def test_a_wrong_view_is_found_at_the_rate_of_the_drawn_share(monkeypatch):
    """Of 64 views the first, the last and eight that are drawn: 0.146 a call."""
    random = np.random.default_rng(1)
    images = random.normal(0.5, 1.0, (1, 8, 8, 1)).astype("float32")
    masks = [(np.arange(64)[:, None] >> np.arange(CELLS) & 1).astype(bool)]
    monkeypatch.setattr(answers_module, "_BATCH", 64)
    answers = Answers(take_apart(vote(reader())), images.shape[1:], 1 << 30)
    monkeypatch.setattr(answers, "outputs", lambda views: np.zeros((len(views), 3)))
    answers(images, masks)
    one_wrong_pixel(monkeypatch, random.integers)
    calls, found = 2000, 0
    for _ in range(calls):
        try:
            answers(images, masks)
        except RuntimeError:
            found += 1
    rate = 1 - 62 / 64 * (63 / 64) ** 8
    assert abs(found - calls * rate) < 4 * np.sqrt(calls * rate * (1 - rate))


def test_answers_that_are_no_class_are_refused():
    """They would be no rivals."""
    law = kmd.certification.MaskDistribution.bernoulli(4, 0.9)
    nothing, hidden = [np.zeros((1, 4), bool)], np.ones((2000, 4), bool)
    answers = np.where(np.arange(2000) % 3, 5, 0)
    with pytest.raises(ValueError, match="from 0 to 1. Received: from 0 to 5"):
        kmd.certification.per_set(hidden, answers, 0, law, nothing, 2, 1e-3)


def test_of_two_runs_at_once_one_is_refused(tmp_path, monkeypatch):
    """Its own begins between the other's look at the folder and its writing."""
    folder, images = tmp_path / "run", easy(3)[0]

    def run(seed, folder):
        defence = kmd.VotingEnsemble(toy.classifier(), kmd.RandomGridMask(2, 0.8))
        options = {"samples": 200, "selection": 20, "sizes": [1], "seed": seed}
        return certify(defence, images, method="per_set", folder=folder, **options)

    begin_meanwhile(monkeypatch, lambda: run(1, folder))
    with pytest.raises(
        ValueError, match="another configuration.*seed: 1 there, 0 here"
    ):
        run(0, folder)
    found = Certificates.load(folder / "certificates.json")
    assert found.to_dict() == run(1, tmp_path / "alone").to_dict()
