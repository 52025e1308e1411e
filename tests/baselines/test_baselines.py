"""Other people's defences: their values, and what `evaluate` makes of them."""

import io

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
import toy
from PIL import Image
from skimage.restoration import denoise_tv_chambolle

import keras_maskdef as kmd
from keras_maskdef import baselines
from keras_maskdef.core.value_range import from_unit
from keras_maskdef.evaluation import AttackSetting, Defence, evaluate
from keras_maskdef.evaluation.columns import columns_of
from keras_maskdef.evaluation.threat_models import adaptive, classifier, gray_box

FGSM = AttackSetting("fgsm", "linf", 0.05)
DEFENCES = {
    "squeezing": lambda model: baselines.feature_squeezing(model, bits=3),
    "ART squeezing": lambda model: baselines.art_feature_squeezing(model, bits=3),
    "total variation": lambda model: baselines.total_variation(model, 0.05),
    "JPEG": lambda model: baselines.jpeg(model, quality=50),
    "vote": lambda model: baselines.gaussian_vote_defence(model, 0.2, votes=3),
    "reformer": lambda model: baselines.reformed(model, identity()),
}


def identity():
    """Gives images back, a little softer."""
    inputs = keras.Input((toy.SIDE, toy.SIDE, 1))
    layer = keras.layers.AveragePooling2D(3, strides=1, padding="same")
    return keras.Model(inputs, layer(inputs))


def seeing(defence_of, shape):
    """What the classifier of a defence is given."""
    inputs = keras.Input(shape)
    flat = keras.Model(inputs, keras.layers.Flatten()(inputs))
    defence = defence_of(flat)
    if isinstance(defence, keras.Model):
        defence = Defence.of_model(defence)
    return lambda images: defence.outputs(images).reshape(images.shape)


def images_of(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "make", [baselines.feature_squeezing, baselines.art_feature_squeezing]
)
@pytest.mark.parametrize("bits, median", [(5, 2), (2, 3)])
def test_squeezing_is_that_of_scipy(make, bits, median, channels):
    images = images_of((4, 16, 16, channels))
    levels = 2**bits - 1
    squeezed = np.round(images * levels) / levels
    expected = scipy.ndimage.median_filter(squeezed, (1, median, median, 1))
    see = seeing(lambda model: make(model, bits, median), images.shape[1:])
    np.testing.assert_allclose(see(images), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_total_variation_is_that_of_each_channel(channels):
    images = images_of((3, 16, 16, channels))
    expected = [
        np.dstack([denoise_tv_chambolle(x[..., c], 0.2) for c in range(channels)])
        for x in images
    ]
    see = seeing(lambda m: baselines.total_variation(m, 0.2), images.shape[1:])
    seen = see(images)
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    assert np.abs(np.diff(seen, axis=1)).sum() < np.abs(np.diff(images, axis=1)).sum()
    assert seen.min() >= 0 and seen.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_pillow(channels):
    images = images_of((3, 16, 16, channels))
    see = seeing(lambda m: baselines.jpeg(m, quality=60), images.shape[1:])
    for image, seen in zip(images, see(images), strict=True):
        pixels = np.round(image * 255).astype("uint8")
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=60)
        expected = np.array(Image.open(file)).reshape(image.shape) / 255
        np.testing.assert_allclose(seen, expected, atol=1e-6)


@pytest.mark.parametrize("name", DEFENCES)
def test_what_the_classifier_sees_are_images(name):
    """Extreme ones, too; noise alone is not clipped."""
    images = images_of((5, toy.SIDE, toy.SIDE, 1)).round()
    images[0], images[1] = 0.0, 1.0
    defence = DEFENCES[name](toy.classifier())
    defence = Defence.of_model(defence) if isinstance(defence, keras.Model) else defence
    assert defence.outputs(images).shape == (5, toy.CLASSES)
    if name != "vote":
        seen = seeing(DEFENCES[name], images.shape[1:])(images)
        assert seen.min() >= -1e-6 and seen.max() <= 1 + 1e-6


RANGED = {
    "squeezing": lambda model, r: baselines.feature_squeezing(model, 3, 2, r),
    "ART squeezing": lambda m, r: baselines.art_feature_squeezing(m, 3, 2, r),
    "total variation": lambda m, r: baselines.total_variation(m, 0.05, r),
    "JPEG": lambda model, r: baselines.jpeg(model, 50, r),
    "reformer": lambda model, r: baselines.reformed(model, identity(), r),
}


@pytest.mark.parametrize("value_range", [(0, 255), (-1, 1), (-2.1179, 2.64)])
@pytest.mark.parametrize("name", RANGED)
def test_they_are_the_same_defence_in_any_range(name, value_range):
    images = images_of((4, toy.SIDE, toy.SIDE, 1)).round(2)
    images[0], images[1] = 0.0, 1.0
    shape, (low, high) = images.shape[1:], value_range
    expected = seeing(lambda model: RANGED[name](model, (0, 1)), shape)(images)
    see = seeing(lambda model: RANGED[name](model, value_range), shape)
    seen = see(from_unit(images, value_range))
    atol = 1e-5 * (high - low)
    np.testing.assert_allclose(seen, low + (high - low) * expected, atol=atol)
    if name != "reformer":
        assert seen.min() >= np.float32(low) and seen.max() <= np.float32(high)


@pytest.mark.parametrize("name", RANGED)
def test_they_are_not_evaluated_on_images_of_another_range(name):
    images = 255 * toy.data(4)[0]
    columns_of(RANGED[name](toy.classifier(), (0, 255)), images, (0.0, 255.0))
    for wrong in ((0, 1), (-1, 1)):
        with pytest.raises(ValueError, match=r"`value_range` must be .*Received"):
            columns_of(RANGED[name](toy.classifier(), wrong), images, (0.0, 255.0))


@pytest.mark.parametrize("name", DEFENCES)
def test_who_knows_nothing_attacks_the_bare_classifier(name):
    model = toy.classifier()
    defence = DEFENCES[name](model)
    assert classifier(defence) == (model,)
    assert (gray_box(defence) == (model,)) == (name != "reformer")


@pytest.fixture(scope="module")
def report():
    model = toy.classifier()
    defences = {name: make(model) for name, make in DEFENCES.items()}
    defences["Parseval"] = baselines.with_parseval(model, 0.1)
    options = {"eot_samples": (1, 4), "repeats": 6, "sanity_checks": False}
    return evaluate(defences, toy.data(24), [FGSM], adaptive=[FGSM], **options)


@pytest.mark.parametrize("name", [*DEFENCES, "Parseval"])
def test_they_are_evaluated(report, name):
    rows = {row.title: row.scores.get(name) for row in report.rows}
    clean, known = rows["clean"], rows["adaptive fgsm Linf 0.05, 1 EOT sample"]
    assert clean.accuracy > 0.5
    assert known.accuracy < clean.accuracy


def test_one_bare_classifier_is_behind_all(report):
    """A Parseval network is a classifier of other weights."""
    bare = {name: column["bare"] for name, column in report.columns.items()}
    assert {bare[name] for name in DEFENCES} == {bare["squeezing"]}
    unknown = {row.title: row.scores for row in report.rows}["fgsm Linf 0.05"]
    assert unknown["ART squeezing"].accuracy == unknown["squeezing"].accuracy


def test_only_the_vote_is_random(report):
    clean = report.rows[0].scores
    assert clean["vote"].worst < clean["vote"].accuracy
    for name in set(clean) - {"vote"}:
        assert clean[name].worst == clean[name].accuracy


def test_a_vote_is_random_also_where_it_is_unanimous():
    """Two votes on a few images can be alike by chance; those here always are."""
    sure = baselines.gaussian_vote_defence(toy.classifier(), 1e-4, votes=3)
    images, _ = toy.data(8)
    np.testing.assert_array_equal(sure.outputs(images), sure.outputs(images))
    bare, column = columns_of(sure, images)
    assert not bare.is_random
    assert column.is_random
    assert column.bare == bare.name


def test_shares_of_noisy_votes_are_those_of_the_normal_law():
    """Of a linear classifier of two classes they are known."""
    images = images_of((5, 4, 4, 1), seed=1)
    direction = np.random.default_rng(0).normal(0, 0.3, 16)
    sums = images.reshape(5, -1) @ direction
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.set_weights(
        [np.stack([0 * direction, direction], 1), np.array([0, -sums.mean()])]
    )
    stddev, votes = 0.5, 4000
    margins = (sums - sums.mean()) / (stddev * np.linalg.norm(direction))
    expected = scipy.stats.norm.cdf(margins)
    assert expected.min() < 0.4 and expected.max() > 0.6
    vote = baselines.GaussianVote(model, stddev, votes, votes_per_pass=1500, seed=3)
    shares = np.exp(vote.predict_on_batch(images))[:, 1]
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / np.sqrt(votes))


@pytest.mark.parametrize("pooling", ["majority", "mean", "geometric"])
def test_votes_are_pooled_from_the_classifiers_answers(pooling):
    images = images_of((6, toy.SIDE, toy.SIDE, 1))
    model = toy.classifier()
    vote = baselines.GaussianVote(model, 0.5, 7, pooling, votes_per_pass=3, seed=1)
    same = baselines.GaussianVote(model, 0.5, 7, pooling, votes_per_pass=3, seed=1)
    outputs = keras.ops.convert_to_numpy(same.view_outputs(images)).astype("float64")
    assert outputs.shape == (7, 6, toy.CLASSES)
    chances = scipy.special.softmax(outputs, axis=-1)
    expected = {
        "majority": np.eye(toy.CLASSES)[outputs.argmax(-1)].mean(0),
        "mean": chances.mean(0),
        "geometric": scipy.special.softmax(np.log(chances).mean(0), axis=-1),
    }[pooling]
    found = np.exp(keras.ops.convert_to_numpy(vote(images)))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_in_training_one_noisy_image_goes_through():
    inputs = keras.Input((16, 16, 3))
    flat = keras.Model(inputs, keras.layers.Flatten()(inputs))
    vote = baselines.GaussianVote(flat, 0.25, from_logits=True, seed=0)
    images = images_of((20, 16, 16, 3))
    seen = keras.ops.convert_to_numpy(vote(images, training=True))
    noise = seen.reshape(images.shape) - images
    # Not by name and parameters: SciPy 1.18 hands these to a function without any.
    expected = scipy.stats.norm(0, 0.25).cdf
    assert scipy.stats.kstest(noise.ravel(), expected).pvalue > 0.01
    assert seen.min() < 0 and seen.max() > 1


def test_a_noisy_vote_trains_its_classifier():
    images, labels = toy.data(64)
    model = toy.classifier()
    model.layers[-1].kernel.assign(0.0 * model.layers[-1].kernel)
    vote = baselines.GaussianVote(model, 0.05, votes=5, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    vote.compile(keras.optimizers.Adam(0.03), loss, metrics=["accuracy"])
    vote.fit(images, labels, batch_size=16, epochs=6, verbose=0)
    assert vote.evaluate(images, labels, verbose=0)[1] > 0.9


def test_the_adaptive_attack_averages_over_fresh_noise():
    """Its gradient is the mean of those at noisy images, as many as it is told."""
    model, stddev, samples = toy.classifier(), 0.3, 4000
    defence = baselines.gaussian_vote_defence(model, stddev, votes=3)
    (expected,) = adaptive(defence, samples)
    images, labels = toy.data(3)
    views = keras.ops.convert_to_numpy(expected.view_logits(images))
    assert views.shape == (samples, 3, toy.CLASSES)
    again = keras.ops.convert_to_numpy(expected.view_logits(images))
    assert (views != again).any(-1).all()

    _, gradient = kmd.attacks.Target(expected).loss_gradient(images, labels)
    noise = np.random.default_rng(0).normal(0, stddev, (samples, 3, toy.SIDE**2))
    kernel, bias = model.get_weights()
    logits = (images.reshape(3, -1) + noise) @ kernel + bias
    wrong = scipy.special.softmax(logits, -1) - np.eye(toy.CLASSES)[labels]
    by_hand = (wrong @ kernel.T).mean(0).reshape(images.shape)
    assert np.abs(by_hand).max() > 0.2
    np.testing.assert_allclose(gradient, by_hand, atol=0.05)


def saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)


@pytest.mark.parametrize("seed", [5, None])
def test_a_loaded_vote_draws_its_own_noise_unless_it_has_a_seed(seed, tmp_path):
    images = images_of((20, toy.SIDE, toy.SIDE, 1))
    vote = baselines.GaussianVote(toy.classifier(), 0.5, 4, "mean", seed=seed)
    loaded = saved(vote, tmp_path)
    assert isinstance(loaded, baselines.GaussianVote)
    told, kept = vote.get_config(), loaded.get_config()
    for name in ("stddev", "votes", "pooling", "from_logits", "votes_per_pass", "seed"):
        assert kept[name] == told[name]
    here, there = (m.predict(images, verbose=0) for m in (vote, loaded))
    if seed is None:
        assert (here != there).any()
    else:
        np.testing.assert_allclose(here, there, rtol=1e-5)
    assert (vote.predict(images, verbose=0) != here).any()


def test_a_vote_around_an_unbuilt_classifier_is_built_and_saved(tmp_path):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    vote = baselines.GaussianVote(model, 0.1, seed=2)
    assert not vote.built
    images = images_of((4, 8, 8, 1))
    outputs = vote.predict(images, verbose=0)
    assert outputs.shape == (4, 3)
    loaded = saved(vote, tmp_path)
    for ours, theirs in zip(vote.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (3, 3, 2, 5), (1, 2, 3, 20)])
def test_parseval_steps_are_those_of_the_formula(shape):
    kernel = np.random.default_rng(0).normal(0, 0.4, shape)
    scale = np.sqrt(np.prod(shape[:-2]))
    unit = scale * kernel.reshape(-1, shape[-1])
    expected = 1.2 * unit - 0.2 * unit @ unit.T @ unit
    found = baselines.Parseval(0.2)(keras.ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), (expected / scale).reshape(shape), rtol=1e-5
    )


@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_repeated_steps_make_tight_frames(beta):
    step, off = baselines.Parseval(beta), []
    kernel = np.random.default_rng(0).normal(0, 0.1, (3, 3, 4, 6)).astype("float32")
    for _ in range(200):
        unit = 3 * kernel.reshape(-1, 6)
        off.append(np.abs(unit.T @ unit - np.eye(6)).max())
        kernel = keras.ops.convert_to_numpy(step(kernel))
    assert off[-1] < 1e-4 < off[0]
    assert off[10] < off[0]


@pytest.mark.parametrize("strides", [1, 2])
def test_parseval_convolutions_do_not_stretch(strides):
    """By all singular values of the convolution as one matrix."""
    layer = keras.layers.Conv2D(
        5, 3, strides, padding="same", use_bias=False, kernel_initializer="ones"
    )
    layer.build((None, 8, 8, 2))
    kernel = np.random.default_rng(0).normal(0, 0.1, (3, 3, 2, 5)).astype("float32")
    for _ in range(50):
        kernel = baselines.Parseval(0.4)(kernel)
    layer.kernel.assign(kernel)
    pixels = np.eye(8 * 8 * 2, dtype="float32").reshape(-1, 8, 8, 2)
    matrix = keras.ops.convert_to_numpy(layer(pixels)).reshape(len(pixels), -1)
    assert 0.3 < np.linalg.norm(matrix, 2) <= 1 + 1e-5


def test_with_parseval_keeps_the_function_and_shares_nothing():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
        ]
    )
    outer = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(inner(outer))
    model = keras.Model(outer, keras.layers.Dense(3, name="top")(x))
    copy = baselines.with_parseval(model, 0.1)
    images = images_of((4, 16, 16, 3))
    before = model.predict(images, verbose=0)
    np.testing.assert_array_equal(copy.predict(images, verbose=0), before)
    copy.get_layer("top").kernel.assign(np.zeros((4, 3)))
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)
    conv, norm = copy.layers[1].layers
    assert conv.kernel_constraint.beta == 0.1
    assert norm.gamma_constraint is None
    assert model.layers[1].layers[0].kernel_constraint is None


def test_training_keeps_to_the_constraint(tmp_path):
    images, labels = toy.data(64)
    free, bound = toy.classifier(), baselines.with_parseval(toy.classifier(), 0.05)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    largest = []
    for model in (free, bound):
        model.compile(keras.optimizers.SGD(1e-3), loss)
        model.fit(images, labels, batch_size=16, epochs=8, verbose=0)
        largest.append(np.linalg.norm(model.layers[-1].get_weights()[0], 2))
    assert largest[0] > 2 and largest[1] == pytest.approx(1, abs=0.05)
    loaded = saved(bound, tmp_path)
    assert isinstance(loaded.layers[-1].kernel_constraint, baselines.Parseval)
    assert loaded.layers[-1].kernel_constraint.beta == 0.05


def test_the_autoencoder_learns_to_give_images_back():
    keras.utils.set_random_seed(0)
    images, _ = toy.data(64)
    model = baselines.autoencoder((toy.SIDE, toy.SIDE, 1), width=8)
    assert model.output_shape == model.input_shape
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = model.fit(images, images, batch_size=16, epochs=12, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    outputs = model.predict(images, verbose=0)
    assert outputs.min() >= 0 and outputs.max() <= 1


def test_a_reformer_is_attacked_through_both_parts():
    model, soft = toy.classifier(), identity()
    defence = baselines.reformed(model, soft)
    images, _ = toy.data(5)
    expected = model.predict(soft.predict(images, verbose=0), verbose=0)
    np.testing.assert_allclose(defence.outputs(images), expected, rtol=1e-5)
    assert defence.white_box == (defence.predict,)
    assert defence.gray_box is defence.predict


MODEL = toy.classifier()


@pytest.mark.parametrize(
    "name, call",
    [
        ("bits", lambda: baselines.feature_squeezing(MODEL, bits=9)),
        ("bits", lambda: baselines.art_feature_squeezing(MODEL, bits=0)),
        ("size", lambda: baselines.feature_squeezing(MODEL, median=1)),
        ("median", lambda: baselines.art_feature_squeezing(MODEL, median=8)),
        ("weight", lambda: baselines.total_variation(MODEL, 0)),
        ("quality", lambda: baselines.jpeg(MODEL, 101)),
        ("value_range", lambda: baselines.jpeg(MODEL, value_range=(1, 0))),
        ("value_range", lambda: baselines.reformed(MODEL, identity(), (1, 0))),
        ("stddev", lambda: baselines.gaussian_vote_defence(MODEL, -1.0)),
        ("votes", lambda: baselines.GaussianVote(MODEL, 0.1, votes=0)),
        (
            "votes_per_pass",
            lambda: baselines.GaussianVote(MODEL, 1, votes_per_pass=0),
        ),
        ("pooling", lambda: baselines.GaussianVote(MODEL, 0.1, pooling="best")),
        ("beta", lambda: baselines.Parseval(0)),
        ("beta", lambda: baselines.with_parseval(MODEL, 1)),
        ("kernel", lambda: baselines.Parseval(0.1)(np.ones((2, 2, 2)))),
        ("model", lambda: baselines.with_parseval(keras.Sequential(), 0.1)),
        ("model", lambda: baselines.with_parseval(hidden_kernels(), 0.1)),
        ("width", lambda: baselines.autoencoder((8, 8, 1), width=0)),
        ("input_shape", lambda: baselines.autoencoder((8, 8))),
        ("autoencoder", lambda: baselines.reformed(MODEL, MODEL)),
        ("autoencoder", lambda: baselines.reformed(MODEL, keras.Sequential())),
    ],
)
def test_values_out_of_range_are_named(name, call):
    with pytest.raises(ValueError, match=rf"`{name}` must .*Received: "):
        call()


@pytest.mark.parametrize(
    "name, call",
    [
        ("classifier", lambda: baselines.feature_squeezing(len)),
        ("classifier", lambda: baselines.GaussianVote(len, 0.1)),
        ("classifier", lambda: baselines.reformed(len, MODEL)),
        ("autoencoder", lambda: baselines.reformed(MODEL, len)),
        ("model", lambda: baselines.with_parseval(toy.vote(), 0.1)),
    ],
)
def test_what_is_no_model_is_named(name, call):
    with pytest.raises(TypeError, match=rf"`{name}` must .*Received: "):
        call()


def hidden_kernels():
    """A vote, which is no sequential or functional model, within one that is."""
    inputs = keras.Input((toy.SIDE, toy.SIDE, 1))
    return keras.Model(inputs, toy.vote()(inputs))
