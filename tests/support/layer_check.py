"""What every public layer has to stand, whatever it computes."""

import inspect
import json
from collections.abc import Callable, Collection, Sequence

import keras
import numpy as np

POLICIES = ("float32", "float64", "mixed_float16", "mixed_bfloat16")


def check_layer(
    build: Callable[..., keras.layers.Layer],
    arguments: dict,
    shape: Sequence[int],
    labels: int | None = None,
    only_defaults: Collection[str] = (),
) -> None:
    """Checks the config, symbolic and eager calls, policies, and a fit step.

    `arguments` must name every argument of the constructor, none at its default,
    so that a forgotten one shows, but for those in `only_defaults`, which have one
    valid value. `labels` is the number of classes if the layer is a classifier.
    """
    images = np.random.default_rng(0).random((3, *shape)).astype("float32")
    _check_config(build, arguments, only_defaults)
    _check_calls(build(**arguments), images)
    for policy in POLICIES:
        _check_policy(build(**arguments, dtype=policy), images)
    _check_fit(build(**arguments), images, labels)


def _check_config(
    build: Callable[..., keras.layers.Layer],
    arguments: dict,
    only_defaults: Collection[str],
) -> None:
    layer = build(**arguments)
    parameters = inspect.signature(type(layer).__init__).parameters.values()
    named = {p.name: p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    del named["self"]
    assert set(arguments) == set(named)
    for name, parameter in named.items():
        if name not in only_defaults:
            assert arguments[name] is not parameter.default, name
    config = layer.get_config()
    assert set(named) <= set(config)
    rebuilt = type(layer).from_config(json.loads(json.dumps(config)))
    assert json.dumps(rebuilt.get_config()) == json.dumps(config)


def _check_calls(layer: keras.layers.Layer, images: np.ndarray) -> None:
    eager = layer(images)
    assert tuple(eager.shape) == layer.compute_output_shape(images.shape)
    inputs = keras.Input((None, None, images.shape[-1]))
    if not layer.built or layer.weights:
        inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    for batch in (1, 3):
        output = model.predict(images[:batch], verbose=0)
        assert output.shape == (batch, *eager.shape[1:])
    assert model.output.dtype == keras.backend.standardize_dtype(eager.dtype)


def _check_policy(layer: keras.layers.Layer, images: np.ndarray) -> None:
    output = layer(images)
    assert np.isfinite(keras.ops.convert_to_numpy(output).astype("float32")).all()
    dtype = keras.backend.standardize_dtype(output.dtype)
    assert dtype in (layer.compute_dtype, "float32")


def _check_fit(
    layer: keras.layers.Layer, images: np.ndarray, labels: int | None
) -> None:
    stack = [keras.Input(images.shape[1:]), layer]
    if labels is None:
        stack += [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(stack)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(images, np.arange(3) % (labels or 2), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = [weight.numpy() for weight in model.trainable_weights]
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
