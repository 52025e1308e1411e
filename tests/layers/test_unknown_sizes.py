"""Layers in graphs that know no sizes: the same results, the same errors."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_maskdef as kmd
from keras_maskdef import layers
from keras_maskdef.backend.seeding import reseed
from keras_maskdef.baselines import GaussianVote

pytestmark = pytest.mark.long

RNG = np.random.default_rng(0)
SIZES = [(1, 1), (8, 8), (1, 5), (5, 1), *RNG.integers(1, 9, (12, 2)).tolist()]
FEW = 5  # that XLA compiles, too


def classifier():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )


def masker(*inner):
    """Whose network is built for images of any size."""
    keras.utils.set_random_seed(1)
    last = keras.layers.Conv2D(1, 1, activation="sigmoid")
    made = kmd.SparseFeatureMasker(
        keras.Sequential([keras.Input((None, None, 3)), *inner, last])
    )
    made.build((None, None, None, 3))
    return made


def halved():
    """Right for even sides only."""
    return masker(keras.layers.MaxPool2D(padding="same"), keras.layers.UpSampling2D())


def of_one_pixel():
    return masker(keras.layers.GlobalAveragePooling2D(keepdims=True))


def vote():
    mask = kmd.RandomGridMask(3, 0.75, sampling="partition")
    return kmd.VotingEnsemble(classifier(), mask, 4, "mean")


LAYERS = {
    "mask": lambda: kmd.RandomGridMask(3, 0.5),
    "mask of one pixel": lambda: kmd.RandomGridMask(1, 0.5, sampling="fixed_count"),
    "mask of a range": lambda: kmd.RandomGridMask(
        4, (0.2, 0.8), sampling="fixed_count"
    ),
    "inactive mask": lambda: kmd.RandomGridMask(4, 0.5, active="training"),
    "partition": lambda: kmd.RandomGridMask(2, 0.75, sampling="partition"),
    "vote": vote,
    "noise": lambda: GaussianVote(classifier(), 0.1, 4, "mean"),
    "masker": masker,
    "masker, halved": halved,
    "masker of one pixel": of_one_pixel,
    "bits": lambda: kmd.BitDepthReduction(3),
    **{
        f"median {size} {way}": lambda size=size, way=way: kmd.MedianFilter(
            size, implementation=way
        )
        for size, way in ((3, "ops"), (5, "auto"), (6, "ops"))
    },
    "non-local means": lambda: kmd.NonLocalMeans(4, 3, 5, implementation="ops"),
    "non-local means, native": lambda: kmd.NonLocalMeans(4, 3, 5),
}
# XLA draws other random numbers.
RANDOM = ("mask", "mask of one pixel", "mask of a range", "partition", "vote", "noise")

VOTES = ("vote", "noise")
OF_ANY_SIZE = ("noise", "bits", "non-local means", "non-local means, native")


PROBLEMS = (
    "`cell_size` must be at most the image's height and width.",
    "`size` must be at most the image's height and width.",
    '`mask_rate` with sampling="partition" makes 4 groups of cells here, but there are',
    "`network` must return the images' height and width.",
)


def outcome(call, layer, images):
    """What a call returns, or the problem that it tells of, by number."""
    reseed([layer], 5)
    try:
        return np.asarray(call(images))
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        said = words(str(error))
    told = [re.search(f"(?<!cell_){words(each)}", said) for each in PROBLEMS]
    (problem,) = [number for number, found in enumerate(told) if found]
    return problem


def words(text):
    """As in the name of an operation, which is all that XLA has to say."""
    return re.sub(r"\W+", "_", re.sub(r"\x1b\[\d+m", " ", text)).strip("_")


def check_same(expected, found, about):
    if isinstance(expected, int) or isinstance(found, int):
        assert expected is found, about
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=about)


def functions(layer, *shape):
    """The layer in a graph, and compiled by XLA; neither knows sizes."""
    options = {"training": False} if isinstance(layer, keras.Model) else {}
    return [
        tf.function(
            lambda images: layer(images, **options),
            input_signature=[tf.TensorSpec(shape)],
            autograph=False,
            jit_compile=jit,
        )
        for jit in (False, True)
    ]


def test_all_layers_are_here():
    made = {type(make()).__name__ for make in LAYERS.values()}
    assert made >= set(layers.__all__)


@pytest.mark.parametrize("name", LAYERS)
def test_static_and_unknown_sizes_are_the_same(name):
    layer = LAYERS[name]()
    graph, compiled = functions(layer, None, None, None, 3)
    for number, (height, width) in enumerate(SIZES):
        images = RNG.random((RNG.integers(1, 4), height, width, 3), "float32")
        expected, about = outcome(layer, layer, images), str(images.shape)
        check_same(expected, outcome(graph, layer, images), about)
        if number < FEW:
            found = outcome(compiled, layer, images)
            if name in RANDOM and not isinstance(expected, int):
                assert found.shape == expected.shape, about
            else:
                check_same(expected, found, about)


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in VOTES])
def test_no_images(name):
    """Not of models, whose layers of Keras fail on none."""
    layer = LAYERS[name]()
    (graph, _), images = functions(layer, None, None, None, 3), np.zeros((0, 8, 8, 3))
    check_same(outcome(layer, layer, images), outcome(graph, layer, images), "none")


@pytest.mark.parametrize("shape", [(None, None, 3), (3, None, None)])
def test_a_single_image_and_channels_first(shape):
    data_format = "channels_last" if shape[-1] else "channels_first"
    for layer in (
        kmd.RandomGridMask(3, 0.5, data_format=data_format),
        kmd.RandomGridMask(2, 0.75, sampling="partition", data_format=data_format),
        kmd.MedianFilter(3, implementation="ops", data_format=data_format),
    ):
        for lead in ((), (None,)):
            graph, _ = functions(layer, *lead, *shape)
            for height, width in SIZES[:8]:
                sides = iter((height, width))
                whole = (side or next(sides) for side in shape)
                images = RNG.random((*(2 for _ in lead), *whole), "float32")
                expected = outcome(layer, layer, images)
                check_same(expected, outcome(graph, layer, images), str(images.shape))


@pytest.mark.parametrize(
    "keep", [(2, 2, 2), (2, 2, 3), (2, 3, 2), (1, 2, 2), (3, 2, 2, 2), (3, 1, 2, 2)]
)
def test_cells_of_other_images(keep):
    mask = kmd.RandomGridMask(3)
    images, keep = RNG.random((2, 4, 6, 3), "float32"), np.ones(keep, bool)
    unknown = tf.TensorSpec((None,) * keep.ndim, tf.bool)
    graph = tf.function(
        mask.apply, input_signature=[tf.TensorSpec((None, None, None, 3)), unknown]
    )
    fits = keep.shape[-3:] == (2, 2, 2)
    for call in (mask.apply, graph):
        if fits:
            assert call(images, keep).shape[-4:] == images.shape
        else:
            with pytest.raises(
                (ValueError, tf.errors.InvalidArgumentError),
                match=r"`keep` must have the shape [\s\S]*Received[\s\S]*keep.shape=",
            ):
                call(images, keep)


def test_what_is_said_has_the_sizes():
    graph, _ = functions(kmd.MedianFilter(5), None, None, None, 1)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"size=5\W+images.shape=\W+2 3 4 1",
    ):
        graph(np.zeros((2, 3, 4, 1)))


@pytest.mark.parametrize("name", ["vote", "median 5 auto", "masker, halved"])
def test_a_saved_model_says_the_same(name, tmp_path):
    layer = LAYERS[name]()
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, layer(inputs)).export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    for size in (3, 8):
        images = RNG.random((2, size, size, 3), "float32")
        expected, found = (
            outcome(layer, layer, images),
            outcome(loaded.serve, layer, images),
        )
        assert isinstance(expected, int) == (size == 3)
        if name == "vote" and size == 8:
            assert found.shape == expected.shape
        else:
            check_same(expected, found, name)


def test_known_sizes_are_not_looked_at_again():
    """A graph has no assertions where Python has seen the sizes."""
    for name, make in LAYERS.items():
        if name == "masker of one pixel":  # is refused, then
            continue
        layer = make()
        for shape, known in (((2, 8, 8, 3), True), ((None, None, None, 3), False)):
            graph = functions(layer, *shape)[0].get_concrete_function().graph
            asserts = "Assert" in {each.type for each in graph.get_operations()}
            assert asserts == (not known and name not in OF_ANY_SIZE), (name, shape)


def test_images_of_unknown_rank_or_channels():
    """As `tf.io.decode_image` gives them."""
    encoded = tf.io.encode_png(np.full((8, 8, 3), 128, "uint8"))
    data = tf.data.Dataset.from_tensors(encoded)

    def decoded(layer, **options):
        def load(content):
            return layer(tf.io.decode_image(content, dtype="float32", **options))

        return data.map(load)

    for name, make in LAYERS.items():
        layer, options = make(), {"expand_animations": False}
        if name not in VOTES:
            with pytest.raises(ValueError, match="expand_animations=False"):
                decoded(layer)
        if not (name in VOTES or name.startswith("masker")):
            with pytest.raises(ValueError, match="channels=3"):
                decoded(layer, **options)
            (image,) = decoded(layer, channels=3, **options)
            assert image.shape == (8, 8, 3)
