"""When the filter layers reach the kernels, and that it works everywhere else."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from paths import SUPPORT

from keras_maskdef import (
    BitDepthReduction,
    MedianFilter,
    NonLocalMeans,
    kernels,
)
from keras_maskdef.backend import native as bridge

IMAGES = np.random.default_rng(0).random((4, 9, 11, 3)).astype("float32")
MEDIANS = kernels.median(IMAGES, 3)
SPECIFICATION = [tf.TensorSpec([None, None, None, 3])]


@pytest.fixture
def calls(monkeypatch):
    """The names of the kernels that were called."""
    called = []
    function = bridge.Kernel.__call__

    def recorded(kernel, images):
        called.append(kernel.name)
        return function(kernel, images)

    monkeypatch.setattr(bridge.Kernel, "__call__", recorded)
    return called


def model_of(*layers, jit_compile="auto", **arguments):
    model = keras.Sequential([keras.Input((9, 11, 3)), *layers])
    model.compile("sgd", "mse", jit_compile=jit_compile, **arguments)
    return model


def ways(layer):
    yield "eager", layer
    yield "function", tf.function(layer)
    yield "predict", lambda x: model_of(layer).predict(x, verbose=0)
    dataset = tf.data.Dataset.from_tensors(IMAGES).map(layer)
    yield "tf.data", lambda _: dataset.get_single_element()


def test_auto_calls_the_kernel_outside_xla(calls):
    for name, function in ways(MedianFilter(3)):
        np.testing.assert_array_equal(function(IMAGES), MEDIANS)
        assert calls == ["median"], name
        calls.clear()


def test_auto_calls_no_kernel_for_bit_depth(calls):
    for _, function in ways(BitDepthReduction(3)):
        function(IMAGES)
    assert calls == []


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_auto_keeps_xla_on(calls, steps_per_execution):
    layer = MedianFilter(3)
    arguments = {"jit_compile": True, "steps_per_execution": steps_per_execution}
    trained = model_of(keras.layers.Conv2D(3, 1), layer, **arguments)
    trained.fit(IMAGES, IMAGES, batch_size=2, verbose=0)
    trained.evaluate(IMAGES, IMAGES, verbose=0)
    model = model_of(layer, **arguments)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), MEDIANS)
    assert layer.supports_jit and trained.jit_compile and model.jit_compile
    assert calls == []


def nested(layer):
    inner = tf.function(layer)
    return lambda x: inner(x)


def in_a_loop(layer):
    def function(x):
        filtered = x
        for _ in tf.range(1):
            filtered = tf.cond(x[0, 0, 0, 0] < 9, lambda: layer(x), lambda: x)
        return filtered

    return function


@pytest.mark.parametrize("wrapped", [lambda layer: layer, nested, in_a_loop])
def test_auto_calls_no_kernel_under_xla(calls, wrapped):
    function = tf.function(wrapped(MedianFilter(3)), jit_compile=True)
    np.testing.assert_array_equal(function(tf.constant(IMAGES)), MEDIANS)
    assert calls == []


def test_auto_calls_no_kernel_where_there_is_a_gpu(calls, monkeypatch):
    devices = [
        tf.config.PhysicalDevice(f"/physical_device:{kind}:0", kind)
        for kind in ("CPU", "GPU")
    ]
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda: devices)
    np.testing.assert_array_equal(MedianFilter(3)(IMAGES), MEDIANS)
    assert calls == []


def test_native_turns_xla_off_for_the_model(calls):
    layer = MedianFilter(3, implementation="native")
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model = model_of(layer, jit_compile=True)
    assert not layer.supports_jit
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), MEDIANS)
    assert calls == ["median"]


def test_native_under_xla_says_why_not():
    layer = MedianFilter(3, implementation="native")
    with pytest.raises(ValueError, match="XLA"):
        tf.function(layer, jit_compile=True)(IMAGES)


def test_a_kernel_that_raises_in_a_graph_says_why():
    """Where no layer has looked at the images before."""
    kernel = bridge.Kernel("median", (5,))
    function = tf.function(
        lambda images: bridge.call_kernel(kernel, tf.identity, images),
        input_signature=SPECIFICATION,
    )
    with pytest.raises(tf.errors.OpError, match="must not exceed the height"):
        function(IMAGES[:, :4])


LOADER = """
import sys
import numpy as np
import tensorflow as tf
folder = sys.argv[1]
images = np.load(folder + "/images.npy")
for name in sys.argv[2:]:
    loaded = tf.saved_model.load(f"{folder}/{name}")
    result = loaded.signatures["serving_default"](tf.constant(images))
    np.save(f"{folder}/{name}.npy", next(iter(result.values())))
assert not {"keras_maskdef", "numba"} & set(sys.modules)
"""


def module_of(function):
    module = tf.Module()
    module.function = tf.function(function, input_signature=SPECIFICATION)
    module.function(IMAGES)
    return module


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder of SavedModels, and their results in a process of TensorFlow alone."""
    folder = tmp_path_factory.mktemp("exported")
    np.save(folder / "images.npy", IMAGES)
    used = model_of(MedianFilter(3))
    used.predict(IMAGES, verbose=0)
    native = MedianFilter(3, implementation="native")
    used.export(folder / "export", verbose=False)
    model_of(native).export(folder / "native_export", verbose=False)
    model_of(NonLocalMeans(4), BitDepthReduction(5)).export(
        folder / "others_export", verbose=False
    )
    tf.saved_model.save(used, folder / "save")
    tf.saved_model.save(module_of(used), folder / "module")
    tf.saved_model.save(module_of(native), folder / "native_module")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    finished = subprocess.run(
        [sys.executable, "-c", LOADER, str(folder), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.mark.parametrize(
    "name", ["export", "native_export", "save", "module", "native_module"]
)
def test_saved_models_work_in_another_process(exported, name):
    np.testing.assert_array_equal(np.load(exported / f"{name}.npy"), MEDIANS)


def test_saved_models_of_the_other_filters(exported):
    smooth = kernels.nl_means(IMAGES, 4, 3, 13)
    result = np.load(exported / "others_export.npy")
    np.testing.assert_array_equal(result, kernels.bit_depth(smooth, 5))


@pytest.mark.parametrize("name", ["export", "native_export", "save", "module"])
def test_saved_models_work_in_this_process(exported, name):
    loaded = tf.saved_model.load(exported / name)
    (result,) = loaded.signatures["serving_default"](tf.constant(IMAGES)).values()
    np.testing.assert_array_equal(result, MEDIANS)


@pytest.mark.parametrize("name", ["export", "others_export", "save"])
def test_saved_by_keras_a_model_has_no_callback(exported, name):
    """Which converters to other formats, and XLA, would stumble over."""
    assert b"PyFunc" not in (exported / name / "saved_model.pb").read_bytes()


PARALLEL_MAP = """
import numpy as np
import tensorflow as tf
import keras_maskdef as kmd
from keras_maskdef import kernels
images = np.random.default_rng(0).random((64, 12, 10, 3)).astype("float32")
for layer, expected in (
    (kmd.BitDepthReduction(3, implementation="native"), kernels.bit_depth(images, 3)),
    (kmd.MedianFilter(3), kernels.median(images, 3)),
    (kmd.NonLocalMeans(4), kernels.nl_means(images, 4, 3, 13)),
):
    for batch in (1, 16):
        data = tf.data.Dataset.from_tensor_slices(images).batch(batch)
        data = data.map(layer, num_parallel_calls=8)
        assert data.element_spec.shape[1:] == (12, 10, 3)
        result = np.concatenate(list(data.as_numpy_iterator()))
        np.testing.assert_array_equal(result, expected)
"""


def run(code, **environment):
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_parallel_map_of_tf_data():
    """numba's own threads would abort the process here."""
    run(PARALLEL_MAP, NUMBA_THREADING_LAYER="workqueue")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend):
    """A minute; the table of backends has the pixels for all to run."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    script = SUPPORT / "filters_on_backend.py"
    run(script.read_text(), KERAS_BACKEND=backend)
