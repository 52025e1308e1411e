"""The private parts of Keras, TensorFlow and tf2onnx that the library relies on."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_maskdef.core import compat

INNER = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="inner")])


def functional():
    image = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten(name="flat")(image)
    return keras.Model(image, keras.layers.Dense(3, name="scores")(flat))


def test_a_sequential_model_holds_a_functional_one():
    model = functional()
    assert compat.graph_of(model) is model
    graph = compat.graph_of(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    )
    assert isinstance(graph, keras.Model) and len(graph.inputs) == 1
    assert compat.graph_of(keras.Sequential([keras.layers.Dense(2)])) is None


def test_nodes_come_in_the_order_of_the_calls():
    names = [node.operation.name for node in compat.nodes_of(functional())]
    assert names[1:] == ["flat", "scores"]
    assert compat.nodes_of(keras.layers.Dense(2)) == []


def test_a_layer_knows_its_calls():
    layer, one, two = keras.layers.Dense(2), keras.Input((3,)), keras.Input((3,))
    outputs = layer(one), layer(two)
    calls = compat.calls_of(layer)
    assert [node.input_tensors[0] for node in calls] == [one, two]
    for output, node in zip(outputs, calls, strict=True):
        assert compat.is_symbolic(output)
        assert compat.origin_of(output) == (layer, node)
    assert not compat.is_symbolic(np.zeros(3))


def test_inner_layers_are_found_at_any_depth():
    model = keras.Sequential([keras.Input((3,)), INNER])
    names = {layer.name for layer in compat.inner_layers(model)}
    assert {"inner", INNER.name, model.name} <= names
    assert model not in [*compat.inner_layers(model, include_self=False)]


def test_the_global_seed_is_known():
    try:
        keras.utils.set_random_seed(7)
        assert compat.get_random_seed() == 7
    finally:
        keras.src.backend.common.global_state.set_global_attribute(
            "global_random_seed", None
        )
    assert compat.get_random_seed() is None


@pytest.mark.parametrize("module", compat.EXPORTERS)
def test_what_exports_models_is_where_it_was(module):
    if module.startswith("torch"):
        pytest.importorskip("torch")
    importlib.import_module(module)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_xla_is_seen_from_within():
    seen = []

    def traced(x):
        seen.append(compat.is_compiled())
        return tf.while_loop(lambda y: y < 3.0, lambda y: (see(y),), [x])[0]

    def see(y):
        seen.append(compat.is_compiled())
        return y + 1.0

    tf.function(traced)(tf.zeros(()))
    assert seen == [False, False]
    seen.clear()
    tf.function(traced, jit_compile=True)(tf.zeros(()))
    assert seen == [True, True]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_gradients_of_traced_functions_are_registered():
    @tf.custom_gradient
    def doubled(x):
        return 2 * x, lambda upstream: 5 * upstream

    before = {*compat.gradients_by_name()}
    with tf.Graph().as_default():
        output = doubled(tf.constant(1.0))
        name = output.op.get_attr("_gradient_op_type").decode()
        assert {*compat.gradients_by_name()} - before == {name}
        assert callable(compat.gradients_by_name()[name]["type"])


def test_tf2onnx_has_what_is_taught():
    pytest.importorskip("tf2onnx")
    from tf2onnx.handler import tf_op
    from tf2onnx.onnx_opset.generator import RandomOp

    assert (
        callable(tf_op)
        and callable(RandomOp.version_1)
        and callable(RandomOp.version_9)
    )
    compat.teach_tf2onnx()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_determinism_is_known():
    from tensorflow.python.framework.config import disable_op_determinism

    assert not compat.is_deterministic()
    try:
        tf.config.experimental.enable_op_determinism()
        assert compat.is_deterministic()
    finally:
        disable_op_determinism()
