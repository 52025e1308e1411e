"""A random defence with its masks drawn once, for the frozen-mask sanity check."""

import weakref
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_maskdef.backend.seeding import generator_of
from keras_maskdef.core.compat import graph_of
from keras_maskdef.core.model_graph import with_calls
from keras_maskdef.inspection.structure import is_random, split_vote
from keras_maskdef.layers import RandomGridMask, VotingEnsemble
from keras_maskdef.layers.pooling import POOLINGS


def frozen_masks(model: Any, image_shape: tuple[int, ...], seed: int = 0) -> Any:
    """The model with one set of masks for all images and calls.

    An attack that does not break this model is too weak, or its epsilon too small, to
    measure what the randomness adds.

    Args:
        model: A vote, or a functional or sequential model that ends in a vote or
            contains masks.
        image_shape: `(height, width, channels)` of its images.
        seed: Integer that fixes the masks.

    Returns:
        A model without randomness. `None` if nothing is random, or if the masks are
        inside a subclassed or nested model and cannot be replaced.
    """
    if not is_random(model):
        return None
    parts = split_vote(model)
    if parts is not None:
        front, vote = parts
        images = ops.zeros((1, *image_shape))
        generator = generator_of(seed)
        inputs = images if front is None else front(images)
        keep = vote.mask.sample(inputs, views=vote.votes, seed=generator)
        fixed = _FrozenVote(front, vote, keep)
        return None if is_random(front) or is_random(vote.classifier) else fixed
    return _with_frozen_layers(model, seed)


class _FrozenVote(keras.Model):
    """A vote over fixed masks."""

    def __init__(
        self, front: keras.Model | None, vote: VotingEnsemble, keep: Any
    ) -> None:
        super().__init__(name="frozen_vote")
        self.front, self.vote = front, vote
        self.keep = ops.convert_to_numpy(keep)
        self.from_logits = vote.from_logits

    def call(self, images: Any, training: bool | None = None) -> Any:
        return self.vote.pool_logits(self._logits_of_views(images))

    def _look_through(self) -> Callable[[Any], Any]:
        pooled = POOLINGS[self.vote.pooling]
        return lambda images: pooled(self._logits_of_views(images, exact=True), True)

    def _logits_of_views(self, images: Any, exact: bool = False) -> Any:
        if self.front is not None:
            images = self.front(images, training=False)
        views, _, *cells = self.keep.shape
        shape = (views, ops.shape(images)[0], *cells)
        keep = ops.broadcast_to(ops.convert_to_tensor(self.keep), shape)
        return self.vote.logits_of_views(images, keep, exact)


class _FrozenMask(keras.layers.Layer):
    """A mask of fixed cells."""

    def __init__(self, mask: RandomGridMask, keep: Any) -> None:
        super().__init__(name=f"frozen_{mask.name}")
        self.mask, self.keep = mask, ops.convert_to_numpy(keep)

    def call(self, images: Any) -> Any:
        shape = (ops.shape(images)[0], *self.keep.shape[1:])
        keep = ops.broadcast_to(ops.convert_to_tensor(self.keep), shape)
        return self.mask.apply(images, keep)


# The latest frozen model of each graph: building one adds nodes to shared layers.
_latest: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _with_frozen_layers(model: Any, seed: int) -> Any:
    graph = graph_of(model)
    if not hasattr(graph, "operations"):
        return None
    if _latest.get(graph, (None,))[0] != seed:
        _latest[graph] = seed, _frozen(graph, generator_of(seed))
    fixed = _latest[graph][1]
    return None if is_random(fixed) else fixed


def _frozen(graph: Any, generator: Any) -> Any:
    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if not (isinstance(layer, RandomGridMask) and layer.is_active(False)):
            return layer(*arguments, **options)
        keep = layer.sample(ops.zeros((1, *arguments[0].shape[1:])), seed=generator)
        return _FrozenMask(layer, keep)(arguments[0])

    return with_calls(graph, call)
