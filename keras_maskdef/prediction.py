"""Prediction that stops voting on an image once its class is settled."""

import weakref
from typing import Any

import keras
import numpy as np

from keras_maskdef.backend.seeding import generator_of
from keras_maskdef.core.arguments import (
    as_array,
    check_images,
    check_positive_int,
)
from keras_maskdef.core.logits import logits_of, shares_of
from keras_maskdef.inspection.structure import split_vote
from keras_maskdef.layers import VotingEnsemble

# More than the rounding error of sums of float32 probabilities.
_SLACK = 1e-4
# Passes are padded to the batch size, so that few sizes are compiled. Few images are
# padded to at most this number, or twice theirs.
_USUAL = 32


def predict(
    defended: keras.Model,
    x: Any,
    early_exit: bool = True,
    batch_size: int = _USUAL,
    seed: int | None = None,
    return_views: bool = False,
) -> Any:
    """Predicts classes with a vote, view by view.

    All masks are drawn first, batch by batch as in `defended.predict`. Then the views
    go through the classifier one by one. An image skips the remaining views once they
    cannot change its class: after three equal votes of five, the other two need not be
    counted. The labels equal those of the full vote on the same masks. The classifier
    always gets batches of `batch_size` images, so that nothing is compiled twice; its
    outputs may differ by rounding from those for other batch sizes.

    With `pooling="geometric"` one view can outweigh all others, so every view is
    used, whatever `early_exit` says.

    Args:
        defended: `VotingEnsemble`, or a functional or sequential model that ends
            in one.
        x: Floating point images, `(n, height, width, channels)`, as the model
            takes them.
        early_exit: Boolean, whether to skip views that cannot change the class.
        batch_size: Integer, images per pass; smaller where there are fewer images.
        seed: Integer that makes the masks of this call repeatable. By default
            they come from the mask layer's seed generator.
        return_views: Boolean, whether to return the number of views as well.

    Returns:
        Labels, integers `(n,)`. With `return_views`, also the number of views
        used for each image, integers `(n,)`.

    Raises:
        TypeError: If `defended` does not end in a `VotingEnsemble`, or `x` is not
            floating point.
        ValueError: If `x` does not have four axes, or `batch_size` is below 1.

    Example:

    >>> import keras_maskdef as kmd
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> defended = kmd.VotingEnsemble(classifier, kmd.RandomGridMask(2))
    >>> kmd.predict(defended, np.zeros((5, 8, 8, 1), "float32")).shape
    (5,)
    """
    check_positive_int("batch_size", batch_size)
    images = _as_images(x)
    batch_size = min(batch_size, max(_USUAL, 1 << len(images).bit_length()))
    ensemble, images = _split(defended, images, batch_size)
    if not len(images):
        empty = np.zeros(0, "int64")
        return (empty, empty) if return_views else empty
    if not ensemble.built:
        ensemble.build(images.shape)
    keep = _draw(ensemble, images, batch_size, seed)
    stops_early = early_exit and ensemble.pooling != "geometric"
    vote = _Vote(ensemble, images.shape)
    for cells in keep:
        pending = vote.pending if stops_early else np.arange(len(images))
        if not len(pending):
            break
        logits = _one_view(ensemble, images[pending], cells[pending], batch_size)
        vote.add(pending, logits)
    labels = vote.labels()
    return (labels, vote.views) if return_views else labels


class _Vote:
    """The state of a vote: views and scores of each image so far, and all logits."""

    def __init__(self, ensemble: VotingEnsemble, images_shape: tuple) -> None:
        self.ensemble = ensemble
        self.views = np.zeros(images_shape[0], "int64")
        self.scores = np.zeros(ensemble.compute_output_shape(images_shape))
        self.logits: list[np.ndarray] = []

    @property
    def pending(self) -> np.ndarray:
        """Indices of the images whose class the remaining views could change."""
        if self.scores.shape[-1] == 1:
            return np.flatnonzero(self.views == 0)
        second, first = np.partition(self.scores, -2, axis=-1)[:, -2:].T
        left = self.ensemble.votes - self.views
        return np.flatnonzero(first - second <= left + _SLACK)

    def add(self, seen: np.ndarray, logits: np.ndarray) -> None:
        """Counts one view of the images with the indices `seen`."""
        full = np.zeros(self.scores.shape, logits.dtype)
        full[seen] = logits
        self.logits.append(full)
        self.views[seen] += 1
        self.scores[seen] += self._ballots(logits)

    def labels(self) -> np.ndarray:
        """The leading class where a vote ended early, the pooled class elsewhere."""
        labels = np.argmax(self.scores, axis=-1)
        full = self.views == self.ensemble.votes
        if full.any():
            stacked = np.stack([view[full] for view in self.logits])
            pooled = keras.ops.convert_to_numpy(self.ensemble.pool_logits(stacked))
            labels[full] = np.argmax(pooled, axis=-1)
        return labels

    def _ballots(self, logits: np.ndarray) -> np.ndarray:
        """The score, from 0 to 1, that one view adds to each class."""
        if self.ensemble.pooling == "majority":
            return np.eye(logits.shape[-1])[np.argmax(logits, axis=-1)]
        shares = shares_of(self.ensemble.classifier, self.ensemble.from_logits)
        return keras.ops.convert_to_numpy(shares(logits))


class _OneView(keras.Model):
    """Masks with given cells and classifies: one compiled function per ensemble."""

    def __init__(self, ensemble: VotingEnsemble) -> None:
        super().__init__(name="one_view")
        # Not the ensemble, a weak key of `_compiled`: a reference would keep it alive.
        self.mask, self.classifier = ensemble.mask, ensemble.classifier
        self.from_logits = ensemble.from_logits

    def call(self, inputs: Any) -> Any:
        images, cells = inputs
        masked = self.mask.apply(images, cells)
        return logits_of(self.classifier, self.from_logits, masked)


_compiled: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _one_view(
    ensemble: VotingEnsemble, images: np.ndarray, cells: np.ndarray, batch_size: int
) -> np.ndarray:
    if ensemble not in _compiled:
        _compiled[ensemble] = _OneView(ensemble)
    model = _compiled[ensemble]
    outputs = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size], cells[start : start + batch_size]
        size = len(batch[0])
        padded = [np.resize(part, (batch_size, *part.shape[1:])) for part in batch]
        outputs.append(model.predict_on_batch(padded)[:size])
    return np.concatenate(outputs)


def _draw(
    ensemble: VotingEnsemble, images: np.ndarray, batch_size: int, seed: int | None
) -> np.ndarray:
    """Visible cells, `(votes, n, rows, columns)`."""
    generator = None if seed is None else generator_of(seed)
    draws = [
        ensemble.mask.sample(
            images[start : start + batch_size], views=ensemble.votes, seed=generator
        )
        for start in range(0, len(images), batch_size)
    ]
    arrays = [keras.ops.convert_to_numpy(draw) for draw in draws]
    return np.concatenate(arrays, axis=1)


def _split(
    defended: Any, images: np.ndarray, batch_size: int
) -> tuple[VotingEnsemble, np.ndarray]:
    """The vote at the model's end, and the images that reach it."""
    parts = split_vote(defended)
    if parts is None:
        raise TypeError(
            "`defended` must be a VotingEnsemble or a model that ends in one. "
            f"Received: defended={defended!r}"
        )
    front, vote = parts
    if front is not None and len(images):
        images = front.predict(images, batch_size=batch_size, verbose=0)
    return vote, images


def _as_images(x: Any) -> np.ndarray:
    images = as_array("x", x)
    check_images(images)
    if images.ndim != 4:
        raise ValueError(
            "`x` must have four axes, (n, height, width, channels). "
            f"Received: x.shape={images.shape}"
        )
    return images
