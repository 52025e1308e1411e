"""Defences around other people's models: their ranges, layouts and outputs."""

import importlib

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
import toy

import keras_maskdef as kmd
from keras_maskdef.attacks import Target, craft, prepare
from keras_maskdef.attacks.inputs import check_image_values
from keras_maskdef.core.output_kind import infer_from_logits
from keras_maskdef.core.value_range import check_value_range, from_unit, to_unit
from keras_maskdef.evaluation import AttackSetting, Defence, evaluate
from keras_maskdef.evaluation.columns import columns_of
from keras_maskdef.evaluation.gallery import _channels_last
from keras_maskdef.reporting import pictures

L = keras.layers
LEVELS = np.random.default_rng(0).integers(0, 256, (3, 9, 12, 3)).astype("float32")
BYTES = (0, 255)
# A power of two: what is exact in [0, 1] is exact here, to the last bit.
EXACT = (0, 256)
# Rounded, `1.0 * (high - low) + low` is above the highest of some, and a mixture of
# both ends outside of the last one.
ROUNDED = [(-2.1179, 2.64), (0.1, 0.7), (-123.68, 151.061), (-35.9514, -35.747)]


def small(shape=(9, 12, 3), *before, classes=4, activation=None):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input(shape),
            *before,
            L.Conv2D(4, 3, activation="relu"),
            L.Flatten(),
            L.Dense(classes, activation=activation),
        ]
    )


def network():
    keras.utils.set_random_seed(2)
    shape = keras.Input((9, 12, 3))
    return keras.Model(
        shape, L.Conv2D(1, 3, padding="same", activation="sigmoid")(shape)
    )


def in_range(model, value_range):
    """The same classifier of images in another range."""
    low, high = value_range
    scale = 1 / (high - low)
    shape = model.input_shape[1:]
    return keras.Sequential(
        [keras.Input(shape), L.Rescaling(scale, -low * scale), model]
    )


# The range of filters and maskers


@pytest.mark.parametrize("value_range", [BYTES, (-1, 1), *ROUNDED])
def test_the_way_back_from_01_stays_in_the_range(value_range):
    known = check_value_range(value_range)
    small = 2.0 ** -np.linspace(20, 30, 997)
    unit = np.concatenate([[0, 1], small, 1 - small, np.linspace(0, 1, 999)])
    unit = unit.astype("float32").reshape(1, -1, 1, 1)
    made = from_unit(unit, known)
    assert made.dtype == "float32"
    assert check_image_values(made, known) is made
    assert made.min() == np.float32(known[0]) and made.max() == np.float32(known[1])
    np.testing.assert_allclose(to_unit(made, known), unit, atol=4e-5)
    assert to_unit(made, known).max() <= 1
    ends = from_unit(tf.constant(unit[:, :2]), known)
    np.testing.assert_array_equal(np.ravel(ends), np.float32(known))


@pytest.mark.parametrize("jit", [False, True])
def test_all_levels_of_bytes_come_back(jit):
    levels = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)
    there_and_back = tf.function(
        lambda x: from_unit(to_unit(x, BYTES), BYTES), jit_compile=jit, autograph=False
    )
    np.testing.assert_array_equal(there_and_back(levels), levels)
    np.testing.assert_array_equal(from_unit(to_unit(levels, BYTES), BYTES), levels)


@pytest.mark.parametrize("value_range", ROUNDED)
def test_filters_give_the_same_bits_under_xla(value_range):
    low, high = value_range
    images = tf.constant(low + (high - low) / 256 * LEVELS)
    for build in (kmd.BitDepthReduction, kmd.NonLocalMeans):
        layer = build(5, implementation="ops", value_range=value_range)
        native = build(5, implementation="native", value_range=value_range)
        compiled = tf.function(layer, jit_compile=True, autograph=False)
        np.testing.assert_array_equal(compiled(images), layer(images))
        np.testing.assert_array_equal(native(images), layer(images))


@pytest.mark.parametrize("way", ["eager", "graph", "xla", "native"])
def test_bit_depth_in_255ths(way):
    halves = np.arange(0, 255.5, 0.5, "float32").reshape(1, 7, 73, 1)
    for bits in range(1, 9):
        implementation = "native" if way == "native" else "ops"
        layer = kmd.BitDepthReduction(
            bits, implementation=implementation, value_range=BYTES
        )
        call = layer
        if way in ("graph", "xla"):
            call = tf.function(layer, jit_compile=way == "xla", autograph=False)
        levels = np.float32(2**bits - 1)
        expected = np.round(halves / np.float32(255) * levels) / levels * 255
        np.testing.assert_array_equal(call(tf.constant(halves)), expected)


def test_non_local_means_in_255ths_are_opencvs():
    layer = kmd.NonLocalMeans(7, 3, 5, implementation="ops", value_range=BYTES)
    expected = [
        cv2.fastNlMeansDenoisingColored(image, None, 7, 7, 3, 5)
        for image in LEVELS.astype("uint8")
    ]
    np.testing.assert_array_equal(layer(LEVELS), np.stack(expected))


@pytest.mark.parametrize("value_range", [BYTES, (-1, 1)])
def test_what_passes_straight_through_keeps_its_gradient(value_range):
    x = tf.constant(LEVELS)
    for layer in (
        kmd.BitDepthReduction(3, value_range=value_range),
        kmd.NonLocalMeans(4, 1, 3, implementation="ops", value_range=value_range),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        np.testing.assert_array_equal(tape.gradient(y, x, LEVELS), LEVELS)


def test_a_masker_hides_behind_the_lowest_value():
    net = network()
    unit = LEVELS / 256
    mask = kmd.SparseFeatureMasker(net).mask(unit)
    masker = kmd.SparseFeatureMasker(net, value_range=(-1, 1))
    np.testing.assert_array_equal(masker.mask(2 * unit - 1), mask)
    expected = 2 * (unit * mask) - 1
    np.testing.assert_allclose(masker(2 * unit - 1), expected, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [kmd.BitDepthReduction(3), kmd.NonLocalMeans(4), kmd.SparseFeatureMasker()],
    ids=lambda layer: layer.name,
)
def test_a_file_without_a_range_is_of_images_in_01(layer):
    config = layer.get_config()
    assert config.pop("value_range") == (0.0, 1.0)
    assert type(layer).from_config(config).value_range == (0.0, 1.0)


@pytest.mark.parametrize("wrong", [(1, 0), (0, 0), (0, float("nan")), 255, (0, 1, 2)])
def test_bad_ranges(wrong):
    for build in (
        lambda: kmd.BitDepthReduction(3, value_range=wrong),
        lambda: kmd.SparseFeatureMasker(value_range=wrong),
        lambda: kmd.defend(small(), value_range=wrong),
        lambda: Target(small(), wrong),
    ):
        with pytest.raises(
            ValueError, match=r"`value_range` must be .*Received: value"
        ):
            build()


def test_a_masker_is_trained_alike_in_any_range():
    x, y = LEVELS / 256, np.arange(3) % 4
    histories, weights = [], []
    for value_range in ((0, 1), EXACT):
        model = in_range(small(), value_range)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, run_eagerly=True)
        masker = kmd.SparseFeatureMasker(network(), value_range=value_range)
        filters = kmd.BitDepthReduction(3, value_range=value_range)
        data = x * np.float32(value_range[1])
        callback = kmd.AlternatingTraining(
            masker, data, filters, train_on="masked", validation_data=(data, y)
        )
        found = model.fit(data, y, epochs=2, callbacks=[callback], verbose=0)
        histories.append(found.history)
        weights.append(masker.get_weights())
    assert {*histories[0]} == {*histories[1]} >= {"masker_sparsity", "masker_semantic"}
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, 1e-4, err_msg=name)
    for first, second in zip(*weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    with pytest.raises(ValueError, match=r"`value_range` must be one for all parts"):
        kmd.AlternatingTraining(masker, data, kmd.BitDepthReduction(3))


# defend


def test_defend_in_another_range_is_the_same_defence():
    classifier, net, unit = small(), network(), LEVELS / 256

    def defended(value_range):
        model = in_range(classifier, value_range)
        return model, kmd.defend(
            model,
            kmd.SparseFeatureMasker(net, value_range=value_range),
            [kmd.MedianFilter(3), kmd.BitDepthReduction(3)],
            {"mask": kmd.RandomGridMask(4, 0.5, seed=3), "votes": 3, "pooling": "mean"},
            value_range,
        )

    expected = defended((0, 1))[1](unit)
    model, same = defended(EXACT)
    np.testing.assert_array_equal(same(LEVELS), expected)
    assert same.layers[-1].classifier is model
    assert same.layers[1].network is net


def test_bytes_go_in_as_they_are():
    defended = kmd.defend(
        small((9, 12, 3), L.Rescaling(1 / 255)),
        filters=[kmd.MedianFilter(3), kmd.BitDepthReduction(4)],
        value_range=BYTES,
    )
    defended.compile(run_eagerly=True)
    found = defended.predict(LEVELS.astype("uint8"), verbose=0)
    np.testing.assert_array_equal(found, defended(LEVELS))
    front = keras.Model(defended.inputs[0], defended.layers[2].output)
    assert {*np.unique(front(LEVELS))} <= {*(np.arange(16, dtype="float32") / 15 * 255)}


def test_only_filters_of_another_range_are_copied():
    median, bits = kmd.MedianFilter(3), kmd.BitDepthReduction(3, name="three_bits")
    own = kmd.BitDepthReduction(4, value_range=BYTES)
    smooth = L.AveragePooling2D(3, 1, "same")
    filters = [median, bits, own, smooth]
    layers = kmd.defend(small(), filters=filters, value_range=BYTES).layers
    assert layers[1] is median
    assert layers[2] is not bits
    assert layers[2].get_config() == {**bits.get_config(), "value_range": (0.0, 255.0)}
    assert layers[3] is own
    assert layers[4] is smooth


def test_a_filter_that_stands_twice_is_copied_once():
    bits = kmd.BitDepthReduction(3)
    filters = [bits, kmd.MedianFilter(3), bits]
    twice = kmd.defend(small(), filters=filters, value_range=EXACT)
    expected = kmd.defend(small(), filters=filters)(LEVELS / 256)
    same = kmd.defend(in_range(small(), EXACT), filters=filters, value_range=EXACT)
    np.testing.assert_array_equal(same(LEVELS), expected)
    assert sum(isinstance(x, kmd.BitDepthReduction) for x in twice.layers) == 1


@pytest.mark.parametrize("disagreeing", ["masker", "filter", "two filters"])
def test_ranges_that_disagree(disagreeing):
    own = kmd.NonLocalMeans(3, value_range=BYTES)
    arguments, message = {
        "masker": (
            {"masker": kmd.SparseFeatureMasker(network())},
            "SparseFeatureMasker.masker.",
        ),
        "filter": (
            {"filters": kmd.BitDepthReduction(3, value_range=(0, 2))},
            "BitDepthReduc",
        ),
        "two filters": (
            {"filters": [kmd.BitDepthReduction(3), own], "value_range": None},
            "one for all parts",
        ),
    }[disagreeing]
    with pytest.raises(
        ValueError, match=rf"`value_range` must be.*{message}.*Received"
    ):
        kmd.defend(small(), **{"value_range": BYTES, **arguments})


def test_a_vote_without_a_mask():
    with pytest.raises(
        ValueError, match=r"`voting` must hold .*`mask`.*Received: voting=\{'votes': 3"
    ):
        kmd.defend(small(), voting={"votes": 3})


@pytest.mark.parametrize("rate", [[0.25, 0.5], np.array([0.25, 0.5]), (0.25, 0.5)])
def test_two_rates_of_a_mask_are_any_sequence(rate):
    assert kmd.RandomGridMask(2, rate).mask_rate == (0.25, 0.5)


@pytest.mark.parametrize(
    "rate", [("a", "b"), (0.5, 0.25), np.full(3, 0.5), (0.5, None), "high", None]
)
def test_what_is_no_rate_of_a_mask(rate):
    with pytest.raises(ValueError, match=r"`mask_rate` must be a number.*Received: m"):
        kmd.RandomGridMask(2, rate)


def test_non_square_images_with_the_channels_first():
    """Sides that no cell divides; the same pixels in either layout."""
    last = small((11, 14, 3))
    first = keras.Sequential([keras.Input((3, 11, 14)), L.Permute((2, 3, 1)), last])
    images = np.random.default_rng(0).random((3, 11, 14, 3)).astype("float32")
    found = []
    for model, layout in ((last, "channels_last"), (first, "channels_first")):
        filters = [kmd.MedianFilter(3, data_format=layout)]
        filters.append(kmd.BitDepthReduction(4, data_format=layout))
        mask = kmd.RandomGridMask(4, 0.5, seed=3, data_format=layout)
        defended = kmd.defend(model, filters=filters, voting=mask)
        axes = (0, 3, 1, 2) if layout == "channels_first" else (0, 1, 2, 3)
        found.append(defended(images.transpose(axes)))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_the_default_network_of_a_masker_follows_its_layout():
    masker = kmd.SparseFeatureMasker(data_format="channels_first")
    assert masker(keras.Input((3, 11, 14))).shape == (None, 3, 11, 14)
    assert masker.network.output_shape == (None, 1, 11, 14)
    assert keras.config.image_data_format() == "channels_last"
    with pytest.raises(ValueError, match=r"`network` must be given.*Received"):
        kmd.SparseFeatureMasker()(keras.Input((None, None, 3)))


def test_layouts_that_disagree():
    first = kmd.MedianFilter(3, data_format="channels_first")
    with pytest.raises(
        ValueError, match=r"`data_format` must be one for all.*Received"
    ):
        kmd.defend(small(), filters=[first], voting=kmd.RandomGridMask(4))
    with pytest.raises(ValueError, match=r"`data_format` must be 'channels_last'"):
        kmd.defend(small(), filters=[first])


class Subclassed(keras.Model):
    """One that Keras cannot look into."""

    def __init__(self):
        super().__init__()
        self.inner = small()

    def call(self, images):
        return self.inner(images / 255)


def test_a_subclassed_model_that_was_called():
    model = Subclassed()
    model(LEVELS)
    mask = kmd.RandomGridMask(4, 0.5)
    with pytest.raises(ValueError, match=r"from_logits.*voting=\{.*from_logits = True"):
        kmd.defend(model, voting=mask)
    model.from_logits = True
    defended = kmd.defend(model, filters=kmd.MedianFilter(3), voting=mask)
    assert defended.layers[-1].from_logits
    assert defended(LEVELS).shape == (3, 4)
    assert kmd.defend(model)(LEVELS[:1]).shape == (1, 4)


def heads(structure):
    image = keras.Input((9, 12, 3), name="image")
    features = L.Flatten()(image)
    outputs = {"label": L.Dense(4)(features), "age": L.Dense(1)(features)}
    outputs = outputs if structure is dict else [*outputs.values()]
    return keras.Model(image, outputs)


def named_input():
    image = keras.Input((9, 12, 3), name="image")
    return keras.Model({"image": image}, small()(image))


def two_inputs():
    images = [keras.Input((9, 12, 3)) for _ in range(2)]
    return keras.Model(images, small()(L.Add()(images)))


def bytes_input():
    image = keras.Input((9, 12, 3), dtype="uint8")
    return keras.Model(image, small()(L.Rescaling(1 / 255)(image)))


class Pipeline(keras.Sequential):
    """What a task of KerasHub is, as far as `predict` goes."""

    preprocessor = L.Rescaling(1 / 255)

    def preprocess_samples(self, x):
        return self.preprocessor(x)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: heads(dict), r"Take one out of several"),
        (lambda: heads(list), r"Take one out of several"),
        (lambda: keras.Sequential([keras.Input((9, 12, 3)), L.Conv2D(4, 1)]), r"one t"),
        (lambda: small(classes=1, activation="sigmoid"), r"concatenate.*from_logits="),
        (lambda: small(classes=1), r"concatenate.*from_logits="),
        (lambda: small(activation="sigmoid"), r"`from_logits` must be given"),
        (named_input, r"leaves out the name"),
        (two_inputs, r"images and nothing else"),
        (bytes_input, r"take floating point images"),
        (lambda: Pipeline(small().layers), r"task.preprocessor"),
    ],
)
def test_models_that_cannot_be_attached_to(build, message):
    with pytest.raises(ValueError, match=rf"(?s){message}.*Received"):
        kmd.defend(build(), voting=kmd.RandomGridMask(4))


def test_remedies_of_the_messages():
    mask = kmd.RandomGridMask(4, 0.5, seed=3)
    several = heads(dict)
    one = keras.Model(several.inputs, several.outputs[1])  # by name: age, label
    assert kmd.defend(one, voting=mask)(LEVELS).shape == (3, 4)
    named = named_input()
    bare = keras.Model(named.inputs[0], named.outputs[0])
    assert kmd.defend(bare, voting=mask)(LEVELS).shape == (3, 4)
    binary = small(classes=1, activation="sigmoid")
    p = binary.outputs[0]
    two = keras.Model(binary.inputs, keras.ops.concatenate([1 - p, p], axis=-1))
    mask = kmd.RandomGridMask(4, 0.5, seed=3)
    voting = {"mask": mask, "from_logits": False, "pooling": "mean", "votes": 4}
    keep = kmd.RandomGridMask(4, 0.5, seed=3).sample(LEVELS, views=4)
    views = mask.apply(LEVELS, keep)
    expected = np.mean([binary(view) for view in views], axis=0)
    votes = kmd.defend(two, voting=voting)(LEVELS)
    np.testing.assert_allclose(votes[:, 1:], expected, atol=1e-5)
    with pytest.raises(ValueError, match="2 classes or more"):
        kmd.VotingEnsemble(binary, mask, from_logits=False)(LEVELS)


def test_outputs_are_told_through_layers_that_pass_them_on():
    in_float32 = L.Activation("linear", dtype="float32")
    softmax = small(activation="softmax")
    assert infer_from_logits(keras.Sequential([small(), in_float32]))
    assert not infer_from_logits(keras.Sequential([softmax, in_float32]))
    shape = keras.Input((9, 12, 3))
    passed = L.Reshape((4,))(L.Dropout(0.1)(softmax(shape)))
    assert not infer_from_logits(keras.Model(shape, passed))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_classifiers_in_half_precision(policy):
    """255ths are exact in both; the vote is in float32."""
    keras.config.set_dtype_policy(policy)
    try:
        body = small((9, 12, 3), L.Rescaling(1 / 255))
        model = keras.Sequential([body, L.Activation("linear", dtype="float32")])
        model.build((None, 9, 12, 3))
        filters = [kmd.MedianFilter(3), kmd.BitDepthReduction(8)]
        mask = kmd.RandomGridMask(4, 0.5, seed=3)
        defended = kmd.defend(model, filters=filters, voting=mask, value_range=BYTES)
    finally:
        keras.config.set_dtype_policy("float32")
    front = keras.Model(defended.inputs[0], defended.layers[2].output)
    median = kmd.MedianFilter(3)(LEVELS)
    np.testing.assert_array_equal(tf.cast(front(LEVELS), "float32"), median)
    outputs = defended(LEVELS)
    assert outputs.dtype == "float32"
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_an_application_with_its_preprocessing_inside(activation):
    model = keras.applications.MobileNetV3Small(
        (32, 48, 3),
        minimalistic=True,
        weights=None,
        classes=4,
        classifier_activation=activation,
    )
    mask = kmd.RandomGridMask(20, 0.5)
    bits = kmd.BitDepthReduction(3)
    defended = kmd.defend(model, filters=bits, voting=mask, value_range=BYTES)
    assert defended.layers[-1].from_logits == (activation is None)
    assert defended.output_shape == (None, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, side",
    [
        ("ConvNeXtTiny", 32),
        ("DenseNet121", 32),
        ("EfficientNetB0", 32),
        ("EfficientNetV2B0", 32),
        ("InceptionV3", 75),
        ("MobileNet", 32),
        ("MobileNetV2", 32),
        ("MobileNetV3Large", 32),
        ("NASNetMobile", 32),
        ("ResNet50", 32),
        ("ResNet50V2", 32),
        ("VGG16", 32),
        ("Xception", 71),
    ],
)
def test_every_family_of_keras_applications(name, side):
    for activation in (None, "softmax"):
        model = getattr(keras.applications, name)(
            input_shape=(side, side, 3),
            weights=None,
            classes=4,
            classifier_activation=activation,
        )
        defended = kmd.defend(model, voting=kmd.RandomGridMask(16, 0.5))
        assert defended.layers[-1].from_logits == (activation is None)
    shares = defended(np.zeros((1, side, side, 3), "float32"))
    np.testing.assert_allclose(np.sum(shares), 1, atol=1e-4)


# Attacks, evaluations and certificates

ATTACKS = [
    ("bim", "l2", {"steps": 3, "step_size": 0.1}),
    ("cw", "l2", {"steps": 3, "step_size": 0.1, "binary_search_steps": 2}),
    ("deepfool", "l2", {"steps": 3}),
    ("mim", "linf", {"steps": 3}),
    ("apgd", "linf", {"steps": 3}),
    ("noise", "l1", {}),
]


@pytest.mark.parametrize("name, norm, options", ATTACKS, ids=lambda value: str(value))
def test_attacks_are_the_same_in_any_range(name, norm, options):
    images, labels = toy.data(6)
    images = np.round(images * 256) / np.float32(256)
    epsilon = {"linf": 0.1, "l2": 1.0, "l1": 4.0}[norm]
    model = toy.classifier()
    expected = craft(name, model, images, labels, epsilon, norm, **options)
    if "step_size" in options and name != "cw":
        options = {**options, "step_size": 256 * options["step_size"]}
    made = craft(
        name,
        in_range(model, EXACT),
        256 * images,
        labels,
        256 * epsilon,
        norm,
        value_range=EXACT,
        **options,
    )
    assert (made != 256 * images).any()
    np.testing.assert_allclose(made, 256 * expected, atol=1e-4)


def test_attacks_on_views_and_functions_in_another_range():
    images, labels = toy.data(6)
    model = in_range(toy.classifier(), (-1, 1))
    expected = craft("bim", toy.classifier(), images, labels, 0.1, steps=3)
    for attacked in (lambda x: model(x), Target(model, (-1, 1))):
        made = craft(
            "bim", attacked, 2 * images - 1, labels, 0.2, steps=3, value_range=(-1, 1)
        )
        np.testing.assert_allclose(made, 2 * expected - 1, atol=1e-5)
    views = kmd.attacks.expectation_over_masks(toy.vote(model), samples=4)
    target = Target(views, (-1, 1))
    assert target.view_logits(images).shape == (4 * 6, 3)
    made = prepare("fgsm", target)(2 * images - 1, labels, [0.2])
    assert np.abs(made - (2 * images - 1)).max() == pytest.approx(0.2, abs=1e-6)
    with pytest.raises(ValueError, match=r"`value_range` must be that of the target"):
        prepare("fgsm", target, value_range=BYTES)
    with pytest.raises(ValueError, match=r"must lie in \[-1, 1\].*Received"):
        craft("fgsm", target, 255 * images, labels, 0.2)


class Halved:
    """A model that is no Keras layer, of two views."""

    from_logits = True

    def __init__(self, model):
        self.model = model

    def __call__(self, images):
        return self.model(images)

    def view_logits(self, images, training=False):
        first = self.model(images, training=training)
        return keras.ops.stack([first, 0.5 * first])


def test_what_a_function_says_of_itself_is_known_in_another_range():
    images, labels = toy.data(6)
    unit = Target(Halved(toy.classifier()))
    other = Target(Halved(in_range(toy.classifier(), (-1, 1))), (-1, 1))
    assert other.view_logits(images).shape == unit.view_logits(images).shape == (12, 3)
    assert other.views == 2
    for found, expected in zip(
        other.loss_gradient(images, labels),
        unit.loss_gradient(images, labels),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def scores(images):
        return 0.1 + 0.2 * keras.ops.reshape(images, (-1, 64))[:, :3]

    with pytest.raises(ValueError, match="as of a sigmoid"):
        craft("noise", scores, 1.5 * images, labels, 0.1, value_range=(0, 1.5))
    scores.from_logits = True
    target = Target(scores, (0, 1.5))
    np.testing.assert_allclose(target.logits(images), scores(1.5 * images), rtol=1e-6)


@pytest.mark.parametrize("value_range", ROUNDED)
def test_adversarial_images_can_be_attacked_again(value_range):
    images, labels = toy.data(4)
    model = in_range(toy.classifier(), value_range)
    size = 0.4 * (value_range[1] - value_range[0])
    made = from_unit(images.round(), value_range)
    for name in ("noise", "bim"):
        made = craft(name, model, made, labels, size, value_range=value_range)
        assert check_image_values(made, value_range) is made
        assert check_image_values(made.astype("float64"), value_range).size


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """One evaluation in [0, 1] and in 256ths, with the gallery of each."""
    with pytest.MonkeyPatch.context() as patch:
        # Speeds are no part of what is compared, and take half of the time.
        module = importlib.import_module("keras_maskdef.evaluation.evaluate")
        patch.setattr(module, "save_speed", lambda *_: None)
        return {
            high: reported((0, high), tmp_path_factory.mktemp(str(high)) / "run")
            for high in (1, 256)
        }


def reported(value_range, folder):
    high = value_range[1]
    images, labels = toy.data(24)
    images = np.round(images * 256) / np.float32(256)
    model = in_range(toy.classifier(), value_range)
    voting = {"mask": kmd.RandomGridMask(2, 0.5), "votes": 3}
    bits = kmd.BitDepthReduction(4)
    bim = AttackSetting("bim", "linf", 0.0625 * high, options={"steps": 3})
    report = evaluate(
        kmd.defend(model, None, bits, voting, value_range),
        (images * np.float32(high), labels),
        [bim],
        adaptive=[bim],
        eot_samples=(2,),
        repeats=2,
        sanity_checks=False,
        folder=folder,
        value_range=value_range,
    )
    return report, np.load(folder / "gallery.npz")


def test_a_report_is_the_same_in_any_range(reports):
    unit, other = reports[1][0], reports[256][0]
    assert [row.epsilon for row in other.rows] == [
        None if row.epsilon is None else 256 * row.epsilon for row in unit.rows
    ]
    assert [row.scores for row in other.rows] == [row.scores for row in unit.rows]
    assert "bim Linf 16" in [row.title for row in other.rows]
    assert other.settings["value_range"] == [0.0, 256.0]
    assert any("from 0 to 256" in note for note in other.notes)
    assert not any("on a scale" in note for note in unit.notes)


def test_a_gallery_is_drawn_in_01(reports):
    unit, other = (reports[high][1] for high in (1, 256))
    assert {*unit} == {*other}
    for name in {*unit} - {"title"}:
        np.testing.assert_allclose(other[name], unit[name], atol=1e-6, err_msg=name)


def refused(defence, value_range=BYTES):
    images = from_unit(toy.data(4)[0], value_range)
    try:
        columns_of(defence, images, value_range)
    except ValueError as error:
        assert "`value_range` must be that which defences are made for" in str(error)
        assert f"Received: value_range={value_range}" in str(error)
        return True
    return False


def test_a_defence_of_another_range_is_not_evaluated():
    model = in_range(toy.classifier(), BYTES)
    bits, median = kmd.BitDepthReduction(2), kmd.MedianFilter(2)
    assert not refused(kmd.defend(model, filters=[median, bits], value_range=BYTES))
    for wrong in (
        kmd.defend(model, filters=[median, bits]),
        toy.vote(kmd.defend(model, filters=bits)),
        kmd.defend(kmd.defend(model, filters=bits), voting=kmd.RandomGridMask(2)),
        Defence.behind(np.round, model, (0, 1)),
    ):
        assert refused(wrong)
        assert not refused(wrong, (0.0, 1.0))
    # What the images are behind another layer, nobody knows.
    layers = [L.Rescaling(1 / 255), bits, L.Rescaling(255.0)]
    assert not refused(kmd.defend(model, filters=layers))
    assert not refused(Defence.behind(np.round, model))
    data = from_unit(toy.data(4)[0], BYTES), np.arange(4) % 3
    with pytest.raises(ValueError, match=r"`value_range`.*\['bits'\] \{'bit_depth"):
        evaluate(
            {"bits": kmd.defend(model, filters=bits)},
            data,
            [AttackSetting("fgsm", "linf", 8)],
            value_range=BYTES,
        )


def test_a_defence_keeps_its_range_and_kind_in_a_pickle():
    defence = Defence.behind(np.round, toy.classifier(), [0, 2])
    assert defence.value_range == (0.0, 2.0)
    rebuild, parts = defence.__reduce__()
    assert rebuild(*parts) == defence
    with pytest.raises(ValueError, match=r"`value_range` must be the lowest"):
        Defence.behind(np.round, toy.classifier(), (2, 0))


@pytest.fixture
def drawn(monkeypatch):
    """The images that pictures show."""
    shown = []
    monkeypatch.setattr(
        pictures, "show", lambda axis, image, *_, **__: shown.append(np.array(image))
    )
    return shown


def test_masks_are_drawn_in_any_range(drawn, tmp_path):
    unit = np.round(LEVELS) / np.float32(256)
    found = []
    for value_range in ((0, 1), EXACT, (-1, 1)):
        masker = kmd.SparseFeatureMasker(network(), value_range=value_range)
        bits = kmd.BitDepthReduction(3, value_range=value_range)
        images = from_unit(unit, masker.value_range)
        pictures.plot_masks(masker, bits, images, tmp_path / "masks.png")
        found.append(np.concatenate([np.ravel(image) for image in drawn]))
        drawn.clear()
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)
    with pytest.raises(ValueError, match=r"`images` must lie in \[-1, 1\]"):
        pictures.plot_masks(masker, None, LEVELS, tmp_path / "masks.png")
    with pytest.raises(ValueError, match="`value_range` must be one for all"):
        pictures.plot_masks(masker, kmd.BitDepthReduction(3), unit, tmp_path / "m.png")


def test_votes_are_drawn_in_any_range(drawn, tmp_path):
    unit, labels = toy.data(3)
    unit = np.round(unit * 256) / np.float32(256)
    path, names, found = tmp_path / "votes.png", tuple("abc"), []
    for value_range in ((0, 1), EXACT):
        mask = kmd.RandomGridMask(2, 0.5, seed=3)
        vote = kmd.VotingEnsemble(in_range(toy.classifier(), value_range), mask, 2)
        images = from_unit(unit, value_range)
        pictures.plot_votes(vote, images, images, labels, names, path, value_range)
        found.append(np.stack(drawn))
        drawn.clear()
    np.testing.assert_array_equal(*found)
    with pytest.raises(ValueError, match=r"`images` must lie in \[0, 1\]"):
        pictures.plot_votes(vote, images, images, labels, names, path)


@pytest.mark.parametrize("lead", [(8,), (4, 8)])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_gallery_has_its_channels_last(lead, depth):
    images = np.random.default_rng(0).random((*lead, depth, 12, 16))
    last = np.moveaxis(images, -3, -1)
    np.testing.assert_array_equal(_channels_last(images), last)
    assert _channels_last(last) is last


@pytest.mark.parametrize("method", ["exact", "double_masking"])
def test_certificates_are_the_same_in_any_range(method):
    images, labels = toy.data(8)
    images = np.round(images * 256) / np.float32(256)
    found = []
    for value_range in ((0, 1), EXACT):
        model = in_range(toy.classifier(), value_range)
        mask = kmd.RandomGridMask(4, 0.75, 0.5 * value_range[1], "fixed_count")
        bits = kmd.BitDepthReduction(3)
        defended = kmd.defend(model, None, bits, mask, value_range)
        data = images * np.float32(value_range[1])
        found.append(kmd.certify(defended, data, labels, method).to_dict())
    assert found[0]["rows"] == found[1]["rows"]
