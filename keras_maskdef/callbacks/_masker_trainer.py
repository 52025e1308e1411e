"""Trains a masker against a snapshot of a classifier."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_maskdef import losses
from keras_maskdef.callbacks._compiled import is_random_state
from keras_maskdef.layers import SparseFeatureMasker

DEFENDED = "defended_accuracy"


class MaskerTrainer(keras.Model):
    """A model whose only trainable weights are the masker's.

    The classifier is not tracked. It runs in inference mode through `stateless_call`,
    with this model's own copies of its variables, which `take_snapshot` brings up to
    date. So `fit` here leaves the live classifier alone, also where JAX donates buffers
    or an error ends the fit, and never compiles in what its weights once were.

    Takes images, which it filters, and in evaluation their labels as well.
    """

    def __init__(
        self,
        masker: SparseFeatureMasker,
        classifier: keras.Model,
        filters: keras.Model | None,
        weights: Sequence[float],
        norms: str,
    ) -> None:
        super().__init__(name="masker_trainer")
        self.masker, self.filters = masker, filters
        self.loss_weights, self.norms = tuple(weights), norms
        names = ("sparsity", "semantic", "reconstruction", "density", "agreement")
        self.means = [keras.metrics.Mean(name=name) for name in (*names, DEFENDED)]
        self.copies = [
            self.add_weight(
                shape=variable.shape,
                dtype=variable.dtype,
                trainable=False,
                initializer="zeros",
            )
            for variable in classifier.variables
        ]
        # Functions, not an attribute: Keras would track the classifier as a layer.
        self.take_snapshot, self.classify = _snapshot(classifier, self.copies)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Filtered images and their masks (Algorithm 1 filters first)."""
        filtered = ops.cast(self.filter(images), "float32")
        return filtered, ops.cast(self.masker.mask(filtered, training), "float32")

    def filter(self, images: Any) -> Any:
        return images if self.filters is None else self.filters(images, training=False)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        images, mask = y_pred
        masked = images * mask
        logits, masked_logits = self.classify(images), self.classify(masked)
        terms = (
            losses.sparsity(masked, self.norms),
            losses.semantic(logits, masked_logits, self.norms),
            losses.reconstruction(images, masked, self.norms),
        )
        values = [mask, _equal(classes(logits), classes(masked_logits))]
        if not training and y is not None:
            defended = self.filter(self.masker(ops.cast(x, "float32"), training=False))
            values.append(_equal(classes(self.classify(defended)), classes(y)))
        # A term is one number for its batch, and the last batch may be smaller.
        for mean, term in zip(self.means, terms, strict=False):
            mean.update_state(term, sample_weight=ops.shape(images)[0])
        for mean, value in zip(self.means[len(terms) :], values, strict=False):
            mean.update_state(value)
        return sum(w * t for w, t in zip(self.loss_weights, terms, strict=True))


def classes(scores: Any) -> Any:
    """Class numbers, from scores or one-hot vectors or the numbers themselves."""
    scores = ops.convert_to_tensor(scores)
    if len(scores.shape) == 2 and scores.shape[1] > 1:
        return ops.argmax(scores, axis=-1)
    return ops.reshape(scores, (-1,))


def _equal(first: Any, second: Any) -> Any:
    return ops.cast(
        ops.equal(ops.cast(first, "int32"), ops.cast(second, "int32")), "float32"
    )


def _snapshot(
    classifier: keras.Model, copies: Sequence[keras.Variable]
) -> tuple[Callable[[], None], Callable[[Any], Any]]:
    mine = {id(v): copy for v, copy in zip(classifier.variables, copies, strict=True)}

    def take() -> None:
        for variable in classifier.variables:
            # Without the copy, JAX would donate the live classifier's own buffer.
            mine[id(variable)].assign(ops.copy(variable))

    def classify(images: Any) -> Any:
        trainable = [mine[id(v)].value for v in classifier.trainable_variables]
        rest = [mine[id(v)] for v in classifier.non_trainable_variables]
        outputs, updated = classifier.stateless_call(
            trainable, [copy.value for copy in rest], images, training=False
        )
        for copy, value in zip(rest, updated, strict=True):
            if is_random_state(copy):  # random numbers go on; nothing else may
                copy.assign(value)
        return ops.cast(outputs, "float32")

    return take, classify
