"""The structure of a model: its vote, masks, masker, filters and base model."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_maskdef.core.compat import graph_of, inner_layers, origin_of
from keras_maskdef.core.model_graph import once_per_graph, with_calls
from keras_maskdef.layers.image_filter import ImageFilter
from keras_maskdef.layers.median_filter import MedianFilter
from keras_maskdef.layers.random_grid_mask import RandomGridMask
from keras_maskdef.layers.sparse_feature_masker import SparseFeatureMasker
from keras_maskdef.layers.voting_ensemble import VotingEnsemble

# Layers that a defence puts before a classifier.
_FRONT = (RandomGridMask, SparseFeatureMasker, ImageFilter)


def as_filters(name: str, value: Any) -> tuple[keras.layers.Layer, ...]:
    """One layer, a sequence of layers, or nothing, as a tuple."""
    if value is None:
        return ()
    layers = value if isinstance(value, Sequence) else [value]
    if not all(isinstance(layer, keras.layers.Layer) for layer in layers):
        raise TypeError(
            f"`{name}` must be a Keras layer or a sequence of layers. "
            f"Received: {name}={value!r}"
        )
    return tuple(layers)


def check_called_as_predicted(name: str, model: Any) -> None:
    """Raises for a task of KerasHub that preprocesses in `fit` and `predict` alone."""
    preprocessor = getattr(model, "preprocessor", None)
    # Other models with an attribute of this name use it in calls.
    if preprocessor is not None and hasattr(model, "preprocess_samples"):
        raise ValueError(
            f"`{name}` must preprocess images where it is called: a task of KerasHub "
            "does so in `fit` and `predict` alone. Build it in, `keras.Model(images, "
            "task(task.preprocessor(images)))`, or set `task.preprocessor = None` and "
            "preprocess the images yourself. "
            f"Received: {name}={model!r}, preprocessor={preprocessor!r}"
        )


def input_shape(model: Any) -> tuple | None:
    """The shape of the model's images with the batch axis; None if it is not built."""
    if isinstance(model, VotingEnsemble):
        return input_shape(model.classifier)
    if not getattr(model, "built", False):
        return None
    shape = getattr(model, "input_shape", None)
    if shape is None:
        shape = (model.get_build_config() or {}).get("input_shape")
    if isinstance(shape, list) and len(shape) == 1:
        shape = shape[0]
    return tuple(shape) if isinstance(shape, (tuple, list)) else None


def is_random(model: Any) -> bool:
    """Whether a model contains a mask that is active in inference."""
    if isinstance(model, RandomGridMask):
        return model.is_active(False)
    return any(is_random(layer) for layer in getattr(model, "layers", ()))


def computes_in_half(model: Any) -> bool:
    """Whether a model may compute in float16; True for anything but a Keras layer."""
    if not isinstance(model, keras.layers.Layer):
        return True
    return any(layer.compute_dtype == "float16" for layer in inner_layers(model))


def split_vote(model: Any) -> tuple[keras.Model | None, VotingEnsemble] | None:
    """Splits a model that ends in a vote into the part before the vote and the vote.

    The part is None if nothing precedes the vote. Returns None for other models.
    """
    if isinstance(model, VotingEnsemble):
        return None, model
    graph = graph_of(model)
    if not hasattr(graph, "operations"):
        return None
    last, _ = origin_of(graph.outputs[0])
    if not isinstance(last, VotingEnsemble):
        return None
    return _before_the_last(graph), last


@once_per_graph
def _before_the_last(graph: Any) -> keras.Model | None:
    _, node = origin_of(graph.outputs[0])
    front = keras.Model(_single(graph.inputs), node.input_tensors[0])
    return front if len(front.operations) > 1 else None


def bare_classifier(model: Any) -> Any:
    """The base model: without votes, masks, maskers and filters; other layers stay.

    It is the model itself if it has none of these, or none that can be separated, as
    within a subclassed model.
    """
    return _without(model, _FRONT)


def masked_classifier(model: Any) -> Any:
    """The base model with its sparse feature maskers; see `bare_classifier`."""
    return _without(model, (RandomGridMask, ImageFilter))


def _without(model: Any, front: tuple[type, ...]) -> Any:
    """The model without its votes and the layers of these types."""
    if isinstance(model, VotingEnsemble):
        return model.classifier
    graph = graph_of(model)
    layers = getattr(graph, "layers", ())
    if not isinstance(graph, keras.Model) or not hasattr(graph, "operations"):
        return model
    if not any(isinstance(layer, (VotingEnsemble, *front)) for layer in layers):
        return model
    return _clone_without(graph, front)


@once_per_graph
def _clone_without(graph: Any, front: tuple[type, ...]) -> Any:
    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(layer, front):
            return arguments[0]
        if isinstance(layer, VotingEnsemble):
            layer, options = layer.classifier, {}
        return layer(*arguments, **options)

    bare = with_calls(graph, call)
    inner = [x for x in bare.layers if not isinstance(x, keras.layers.InputLayer)]
    return inner[0] if len(inner) == 1 and isinstance(inner[0], keras.Model) else bare


def through_exact_medians(model: Any) -> Any:
    """The model with exact gradients of its median filters; None if it has none.

    Filters within a subclassed or nested model are not detected.
    """
    graph = graph_of(model)
    layers = getattr(graph, "layers", ())
    if not hasattr(graph, "operations") or not any(map(_is_detoured, layers)):
        return None
    return _clone_through_exact_medians(graph)


@once_per_graph
def _clone_through_exact_medians(graph: Any) -> Any:
    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if _is_detoured(layer):
            config = {**layer.get_config(), "gradient": "exact"}
            layer = type(layer).from_config(config)
        return layer(*arguments, **options)

    return with_calls(graph, call)


def _is_detoured(layer: Any) -> bool:
    return isinstance(layer, MedianFilter) and layer.gradient != "exact"


def _single(inputs: list) -> Any:
    """Unwraps a single input: for Keras `[x]` is another signature, and it warns."""
    return inputs[0] if len(inputs) == 1 else inputs
