"""Splits a defence at its mask, and checks what would break a proof of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_maskdef import kernels
from keras_maskdef.backend.seeding import generator_of
from keras_maskdef.core.compat import graph_of, nodes_of
from keras_maskdef.core.model_graph import once_per_graph
from keras_maskdef.inspection.structure import (
    is_random,
    split_vote,
)
from keras_maskdef.kernels import reference
from keras_maskdef.layers import BitDepthReduction, RandomGridMask, VotingEnsemble

# Layers whose output values depend only on the input value at the same place. Not
# their subclasses, which may do anything.
_POINTWISE = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    BitDepthReduction,
)
_ACTIVATIONS = tuple(
    getattr(keras.activations, name)
    for name in ("linear", "relu", "sigmoid", "hard_sigmoid", "tanh", "softplus")
)
_FEW = 4


@dataclass(frozen=True)
class Parts:
    """The layers before the mask, the mask, and the classifier of masked images.

    Args:
        front: Keras model of pointwise layers, or `None`.
        mask: The mask layer.
        classifier: Keras model from masked images to `(batch, classes)`.
    """

    front: keras.Model | None
    mask: RandomGridMask
    classifier: keras.Model

    def before_the_mask(self, images: np.ndarray) -> np.ndarray:
        """Images as the mask sees them."""
        if self.front is None:
            return images
        return np.asarray(self.front.predict(images, batch_size=256, verbose=0))

    def hide(self, images: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """Masks images with the kernel, in the layer's data format."""
        return self._masked(partial(kernels.grid_mask, device="cpu"), images, keep)

    def hide_by_reference(self, images: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """As `hide`, in plain NumPy."""
        return self._masked(reference.grid_mask, images, keep)

    def _masked(
        self, grid_mask: Callable[..., Any], images: np.ndarray, keep: np.ndarray
    ) -> np.ndarray:
        first = self.mask.data_format == "channels_first"
        pixels = np.moveaxis(images, -3, -1) if first else images
        masked = grid_mask(pixels, keep, self.mask.cell_size, self.mask.fill_value)
        return np.ascontiguousarray(np.moveaxis(masked, -1, -3)) if first else masked


def take_apart(defence: Any, mask: RandomGridMask | None = None) -> Parts:
    """Finds the mask of a defence and the parts before and behind it.

    Args:
        defence: Keras model.
        mask: Another mask in place of the defence's own, or before a model without one.

    Raises:
        TypeError: If it is no Keras model, or `mask` no `RandomGridMask`.
        ValueError: If it has no mask of this library that every image goes through, or
            if a layer before the mask carries pixels from cell to cell.
    """
    if not isinstance(defence, keras.Model):
        raise TypeError(
            "`defence` must be a VotingEnsemble, or a Keras model with a "
            f"RandomGridMask in it. Received: defence={defence!r}"
        )
    if not (mask is None or isinstance(mask, RandomGridMask)):
        raise TypeError(f"`mask` must be a RandomGridMask. Received: mask={mask!r}")
    _check_graph(defence)
    vote = split_vote(defence)
    if vote:
        front, own_mask, classifier = vote[0], vote[1].mask, _model(vote[1].classifier)
    elif mask is not None and not is_random(defence):
        front, own_mask, classifier = None, mask, defence
    else:
        front, own_mask, classifier = _at_the_mask(defence)
    parts = Parts(front, mask or own_mask, classifier)
    for name in ("sample", "is_active", "call"):
        if getattr(type(parts.mask), name) is not getattr(RandomGridMask, name):
            raise ValueError(
                "`defence` must draw its masks as RandomGridMask does, whose "
                f"distribution is known. Received: mask={parts.mask!r}, with a "
                f"`{name}` of its own"
            )
    if not parts.mask.is_active(False):
        raise ValueError(
            "`defence` must mask in prediction, or it does not hide what an attack "
            f"changed. Received: mask.active={parts.mask.active!r}"
        )
    if is_random(classifier):
        raise ValueError(
            "`defence` must have one mask; here what sees the masked images is random "
            f"again. Received: defence={defence!r}"
        )
    _check_front(front)
    return parts


def check_soundness(parts: Parts, images: np.ndarray) -> int:
    """Tests what a proof assumes, on a few images and on noise; that is no proof.

    Returns:
        The number of classes.

    Raises:
        ValueError: If hidden cells leave a trace, or an answer depends on anything but
            the masked image.
    """
    few = np.concatenate([images[:_FEW], _noise(_FEW, images, seed=0)])
    keep = keras.ops.convert_to_numpy(parts.mask.sample(few, seed=generator_of(0)))
    _check_mask(parts, few, keep)
    company = _noise(len(few), images, seed=1)
    return _check_classifier(parts.classifier, parts.hide(few, keep), company)


def _noise(count: int, images: np.ndarray, seed: int) -> np.ndarray:
    """Images of noise: the given images may be black, and then tell nothing."""
    shape = (count, *images.shape[1:])
    return np.random.default_rng(seed).normal(0.5, 1.0, shape).astype(images.dtype)


def _model(classifier: Any) -> keras.Model:
    """Wraps a layer, which a vote may have as its classifier: only models predict."""
    if isinstance(classifier, keras.Model):
        return classifier
    return keras.Sequential([classifier])


def _check_graph(model: keras.Model) -> None:
    """Checks that a functional or sequential model does what its graph says."""
    graph = graph_of(model)
    keras_call = type(model).call.__module__.startswith("keras.")
    if isinstance(model, VotingEnsemble) or not nodes_of(graph):
        if isinstance(model, keras.Sequential) and not model.built:
            raise ValueError(
                "`defence` must be built: give its Sequential model a `keras.Input`. "
                f"Received: defence={model!r}"
            )
        return
    if not keras_call or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            "`defence` must be a functional or sequential model from one image to one "
            f"output, without a `call` of its own. Received: defence={model!r}"
        )


def _at_the_mask(model: keras.Model) -> tuple:
    graph = graph_of(model)
    nodes = [
        node
        for node in nodes_of(graph)
        if isinstance(node.operation, RandomGridMask | VotingEnsemble)
    ]
    if len(nodes) != 1 or not isinstance(nodes[0].operation, RandomGridMask):
        raise ValueError(
            "`defence` must be a VotingEnsemble, or a functional or sequential model "
            "with one RandomGridMask (in it, not in a model within). Received: "
            f"defence={model!r}, with {len(nodes)} of them"
        )
    (node,) = nodes
    try:
        front, rest = _halves(graph, node)
    except ValueError as error:
        raise ValueError(
            "`defence` must let its classifier see masked images only; here something "
            f"goes around the mask. Received: defence={model!r}"
        ) from error
    return (front if len(front.operations) > 1 else None), node.operation, rest


@once_per_graph
def _halves(graph: Any, node: Any) -> tuple[keras.Model, keras.Model]:
    front = keras.Model(graph.inputs[0], node.input_tensors[0])
    return front, keras.Model(node.outputs[0], graph.outputs[0])


def _check_front(front: keras.Model | None) -> None:
    # Functions of `keras.ops` are operations of a model, but not layers.
    for layer in [] if front is None else front.operations:
        if not _is_pointwise(layer):
            raise ValueError(
                "`defence` must not carry pixels from one cell to another before the "
                f"mask, as {type(layer).__name__} may: what is hidden then is still "
                "seen in the cells beside it. Put it behind the mask, or in the "
                f"classifier. Received: layer={layer.name!r}"
            )


def _is_pointwise(layer: Any) -> bool:
    if type(layer) is keras.layers.Activation:
        return layer.activation in _ACTIVATIONS
    return type(layer) in _POINTWISE


def _check_mask(parts: Parts, images: np.ndarray, keep: np.ndarray) -> None:
    changed = np.where(_hidden_pixels(parts, images, keep), 1.0 - images, images)
    first, second = (
        keras.ops.convert_to_numpy(parts.mask.apply(batch, keep))
        for batch in (images, changed)
    )
    if not np.array_equal(first, second):
        raise ValueError(
            "`defence` must hide cells behind a constant: what its mask puts there "
            "depends on the image. Received: "
            f"mask={parts.mask!r}"
        )
    if not np.array_equal(first, parts.hide(images, keep)):
        raise ValueError(
            "`defence` must mask as RandomGridMask does: visible pixels as they are, "
            f"hidden ones `fill_value`. Received: mask={parts.mask!r}"
        )


def _hidden_pixels(parts: Parts, images: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The pixels that look the same whatever their values are."""
    zeros, ones = np.zeros_like(images), np.ones_like(images)
    return parts.hide(zeros, keep) == parts.hide(ones, keep)


def _check_classifier(
    classifier: keras.Model, masked: np.ndarray, others: np.ndarray
) -> int:
    """Predicts twice, and in batches of other images."""
    first, again = (np.asarray(classifier.predict_on_batch(masked)) for _ in range(2))
    if first.ndim != 2 or len(first) != len(masked) or first.shape[1] < 2:
        raise ValueError(
            "`defence` must return logits or probabilities of 2 classes or more, "
            f"(images, classes). Received: an array {first.shape}"
        )
    if not np.isfinite(first).all():
        raise ValueError(
            "`defence` must return finite numbers. Received: NaN or infinity from "
            f"classifier={classifier!r}"
        )
    if not np.array_equal(first, again):
        raise ValueError(
            "`defence` must have a classifier that answers the same image in the same "
            "way; here two predictions differ (dropout or noise in prediction?). "
            f"Received: classifier={classifier!r}"
        )
    scale = max(1e-6, float(np.abs(first).max()))
    for place in (0, len(masked) - 1):
        company = others.copy()
        company[place] = masked[place]
        answer = np.asarray(classifier.predict_on_batch(company))[place]
        if not np.allclose(first[place], answer, rtol=0, atol=1e-4 * scale):
            raise ValueError(
                "`defence` must answer each image on its own: here the answer depends "
                "on the other images of the batch (batch statistics in prediction?), "
                "through which hidden cells of one view are seen in another. Received: "
                f"classifier={classifier!r}"
            )
    return int(first.shape[1])
