"""Trains a masker against a snapshot of a classifier."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_maskdef import losses
from keras_maskdef.backend.compiled_call import is_random_state
from keras_maskdef.backend.replicas import part_of_loss, works_with_others
from keras_maskdef.core.logits import look_through
from keras_maskdef.core.value_range import from_unit, to_unit
from keras_maskdef.layers import SparseFeatureMasker

DEFENDED = "defended_accuracy"


class MaskerTrainer(keras.Model):
    """A model whose only trainable weights are the masker's.

    Keras does not track the classifier. It runs in inference mode in a stateless scope,
    on copies of its variables, which `take_snapshot` updates. So `fit` of this model
    never changes the live classifier, even where JAX donates buffers or an error ends
    the fit, and never compiles its former weights in as constants.

    The model takes images, which it filters, and in evaluation their labels as well.

    Under a `tf.distribute` strategy each replica gets its share of a batch.
    """

    def __init__(
        self,
        masker: SparseFeatureMasker,
        classifier: keras.Model,
        filters: keras.Model | None,
        weights: Sequence[float],
        norms: str,
    ) -> None:
        super().__init__(name="masker_trainer", dtype="float32")
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
        """Returns filtered images and their masks (Algorithm 1 filters first)."""
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
        filtered, mask = y_pred
        value_range = self.masker.value_range
        images = to_unit(filtered, value_range)
        masked = images * mask
        logits = self.classify(filtered)
        masked_logits = self.classify(from_unit(masked, value_range))
        terms = (
            losses.sparsity(masked, self.norms),
            losses.semantic(logits, masked_logits, self.norms),
            losses.reconstruction(images, masked, self.norms),
        )
        values = [mask, _equal(_argmax(logits), _argmax(masked_logits))]
        if not training and y is not None:
            defended = self.filter(self.masker(ops.cast(x, "float32"), training=False))
            values.append(_equal(_argmax(self.classify(defended)), _classes(y)))
        # A term is one number for its batch, and the last batch may be smaller.
        size = ops.shape(images)[0]
        terms = tuple(_or_zero(term, size) for term in terms)
        for mean, term in zip(self.means, terms, strict=False):
            mean.update_state(term, sample_weight=size)
        for mean, value in zip(self.means[len(terms) :], values, strict=False):
            mean.update_state(value)
        total = sum(w * t for w, t in zip(self.loss_weights, terms, strict=True))
        # The losses of the masker's network: regularizers and `add_loss`.
        total += sum(ops.cast(ops.sum(loss), "float32") for loss in self.losses)
        return part_of_loss(total)

    def train_step(self, *arguments: Any) -> Any:
        return _for_all_workers(super().train_step(*arguments))

    def test_step(self, *arguments: Any) -> Any:
        return _for_all_workers(super().test_step(*arguments))

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Skips a build that Keras 3.15 fails at where a batch is on many workers."""


def _or_zero(term: Any, size: Any) -> Any:
    """Replaces the NaN of a replica whose share of the last batch is empty."""
    return ops.where(size > 0, term, 0.0) if keras.ops.is_tensor(size) else term


def _for_all_workers(logs: Any) -> Any:
    """Gives scalars the axis along which Keras 3.15 reduces the logs of workers."""
    if not works_with_others():
        return logs
    return {name: ops.reshape(value, (1,)) for name, value in logs.items()}


def _argmax(logits: Any) -> Any:
    return ops.argmax(logits, axis=-1)


def _classes(labels: Any) -> Any:
    """Class numbers, from one-hot vectors or the numbers themselves."""
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 2 and labels.shape[1] > 1:
        return _argmax(labels)
    return ops.reshape(labels, (-1,))


def _equal(first: Any, second: Any) -> Any:
    return ops.cast(
        ops.equal(ops.cast(first, "int32"), ops.cast(second, "int32")), "float32"
    )


def _snapshot(
    classifier: keras.Model, copies: Sequence[keras.Variable]
) -> tuple[Callable[[], None], Callable[[Any], Any]]:
    # Logits even if the classifier returns probabilities, which are less precise.
    logits = look_through(classifier) or partial(classifier, training=False)
    mine = {id(v): copy for v, copy in zip(classifier.variables, copies, strict=True)}

    def take() -> None:
        for variable in classifier.variables:
            # Without the copy, JAX would donate the live classifier's buffer.
            mine[id(variable)].assign(ops.copy(variable))

    def classify(images: Any) -> Any:
        # `stateless_call` would skip `__call__`, which casts and handles models whose
        # `call` takes no `training`.
        pairs = [(v, mine[id(v)]) for v in classifier.variables]
        mapping = [(variable, copy.value) for variable, copy in pairs]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = logits(images)
        for variable, copy in pairs:
            if is_random_state(variable):  # the only state that may advance
                copy.assign(scope.get_current_value(variable))
        return ops.cast(outputs, "float32")

    return take, classify
