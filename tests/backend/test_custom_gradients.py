"""Custom gradients in graphs of TensorFlow: what they are, and that they leave."""

import gc
import subprocess
import sys
import weakref
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

import keras_maskdef as kmd
from keras_maskdef.backend.native import with_gradient

IMAGES = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
FILTERS = {
    "median": partial(kmd.MedianFilter, 3),
    "exact median": partial(kmd.MedianFilter, 3, gradient="exact"),
    "median in operations": partial(kmd.MedianFilter, 3, implementation="ops"),
    "bit depth": partial(kmd.BitDepthReduction, 3),
    "exact bit depth": partial(kmd.BitDepthReduction, 3, gradient="exact"),
    "non-local means": partial(kmd.NonLocalMeans, 4, 3, 5),
}


def defended():
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    masker = kmd.SparseFeatureMasker(
        kmd.architectures.attention_unet((8, 8, 1), (2, 4))
    )
    return kmd.defend(classifier, masker, filters=[kmd.MedianFilter(2)])


def behind():
    model = kmd.evaluation.Defence.behind(np.round, defended()).white_box[0]
    return partial(model, training=False)


MODELS = {**FILTERS, "defended": defended, "behind a function": behind}


def registered():
    return {
        name
        for name in gradient_registry._registry
        if name.startswith("CustomGradient")
    }


def traced(function, **options):
    """A fresh concrete function of images."""
    specification = tf.TensorSpec((None, 8, 8, 1), "float32")
    fresh = tf.function(lambda images: function(images), **options)
    return fresh.get_concrete_function(specification)


def gradient_of(function, images=IMAGES):
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        values = tf.square(function(images))
    return tape.gradient(values, images)


@pytest.mark.parametrize("name", MODELS)
def test_fresh_traces_leave_nothing(name):
    model = MODELS[name]()
    gc.collect()
    before, graphs = registered(), []
    for function in (model, partial(gradient_of, model)):
        for _ in range(5):
            concrete = traced(function)
            gradient_of(concrete)
            assert registered() - before
            graphs.append(weakref.ref(concrete.graph))
            del concrete
    gc.collect()
    assert not registered() - before
    assert [graph() for graph in graphs] == [None] * 10


def routed(images, values, upstream):
    """A gradient that none of the operations has, of all that it may see."""
    return 2.0 * upstream + images * values


def ours(images):
    return with_gradient(tf.sin, routed, images)


@tf.custom_gradient
def _theirs(images):
    values = tf.sin(images)
    return values, lambda upstream: routed(images, values, upstream)


def theirs(images):
    return _theirs(tf.identity(images))


def through_map(function, images):
    return tf.map_fn(function, images)


def through_cond(function, images):
    known = images[0, 0, 0, 0] < 9.0
    return tf.cond(known, lambda: function(images), lambda: images)


def through_loop(function, images):
    count = tf.cast(tf.reduce_max(images), "int32") + 2
    step = lambda i, images: (i + 1, function(images))  # noqa: E731
    return tf.while_loop(lambda i, _: i < count, step, (0, images))[1]


def through_functions(function, images):
    inner = tf.function(function)
    return tf.function(lambda images: inner(images) + inner(2.0 * images))(images)


def of_a_gradient(function, images):
    return gradient_of(function, images)


PLACES = {
    "plain": lambda function, images: function(images),
    "map_fn": through_map,
    "cond": through_cond,
    "while_loop": through_loop,
    "cond in a loop": lambda function, images: through_loop(
        partial(through_cond, function), images
    ),
    "nested functions": through_functions,
    "a gradient": of_a_gradient,
}


def gradients(place, function):
    placed = partial(PLACES[place], function)
    concrete = traced(placed)
    yield gradient_of(concrete)
    yield gradient_of(concrete, 0.5 * IMAGES)
    yield traced(partial(gradient_of, placed))(tf.constant(IMAGES))
    yield gradient_of(placed)


@pytest.mark.parametrize("place", PLACES)
def test_everywhere_the_same_as_tf_custom_gradient(place):
    found, expected = gradients(place, ours), gradients(place, theirs)
    np.testing.assert_array_equal(list(found), list(expected))


@pytest.mark.parametrize("place", ["plain", "cond", "map_fn", "nested functions"])
def test_the_same_under_xla(place):
    found = [
        traced(
            partial(gradient_of, partial(PLACES[place], function)), jit_compile=True
        )(tf.constant(IMAGES))
        for function in (ours, theirs)
    ]
    np.testing.assert_array_equal(*found)


def test_of_persistent_tapes():
    concrete, images = traced(ours), tf.constant(IMAGES)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        values = concrete(images)
    del concrete
    gc.collect()
    for upstream in (tf.ones_like(images), images):
        np.testing.assert_array_equal(
            tape.gradient(values, images, upstream),
            routed(images, tf.sin(images), upstream),
        )


@pytest.mark.parametrize("eager", [True, False])
def test_a_network_inside_keeps_its_weights_out(eager):
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
    (kernel, bias), images = network.trainable_variables, tf.constant(IMAGES)

    def gradients(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            seen = with_gradient(network, lambda x, y, upstream: upstream, images)
            values = tf.reduce_sum(seen * bias)
        return tape.gradient(values, (images, kernel, bias))

    by_images, by_kernel, by_bias = (
        gradients(images) if eager else tf.function(gradients)(images)
    )
    np.testing.assert_array_equal(by_images, np.zeros_like(IMAGES))
    assert by_kernel is None
    np.testing.assert_allclose(by_bias, [tf.reduce_sum(network(images))], rtol=1e-5)


LOADER = """
import sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1] + "/saved")
images = tf.constant(np.load(sys.argv[1] + "/images.npy"))
with tf.GradientTape() as tape:
    tape.watch(images)
    values = tf.square(loaded.function(images))
np.save(sys.argv[1] + "/gradient.npy", tape.gradient(values, images))
assert "keras_maskdef" not in sys.modules
"""


@pytest.mark.parametrize("name", ["median", "median in operations", "non-local means"])
def test_saved_models_have_the_gradient_here_and_elsewhere(name, tmp_path):
    layer = FILTERS[name]()
    module = tf.Module()
    specification = [tf.TensorSpec((None, 8, 8, 1), "float32")]
    module.function = tf.function(
        lambda images: layer(images) + layer(layer(images)),
        input_signature=specification,
    )
    expected = gradient_of(module.function)
    tf.saved_model.save(module, tmp_path / "saved")
    np.save(tmp_path / "images.npy", IMAGES)
    loaded = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_array_equal(gradient_of(loaded.function), expected)
    finished = subprocess.run(
        [sys.executable, "-c", LOADER, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "gradient.npy"), expected)
