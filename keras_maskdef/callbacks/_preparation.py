"""Checks and preparations before a masker's training begins."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_maskdef.callbacks._masker_data import image_shape
from keras_maskdef.callbacks.mask_warnings import IdentityOptimumWarning
from keras_maskdef.core.batches import ShuffledBatches
from keras_maskdef.core.value_range import from_unit
from keras_maskdef.inspection.structure import computes_in_half
from keras_maskdef.layers import SparseFeatureMasker


def check_classifier(model: keras.Model, data: Any) -> tuple:
    """Returns the shape of an image, or raises if the classifier cannot take it."""
    if not model.built:
        raise ValueError(
            "The classifier must be built before the training: call it once, or give "
            f"it a `keras.Input`. Received: classifier={model!r}"
        )
    shape = image_shape(data) or tuple(getattr(model, "input_shape", ()) or ())[1:]
    if len(shape) != 3:
        raise ValueError(
            "`data` must hold batches of images, with four axes. "
            f"Received: images of shape {shape}"
        )
    try:
        output = model.compute_output_spec(keras.KerasTensor((None, *shape)))
    except Exception as error:
        raise ValueError(
            "`data` must hold images of the shape that the classifier takes. "
            f"Received: images of shape {shape}, classifier={model!r}"
        ) from error
    scores: tuple = tuple(getattr(output, "shape", ()))
    if len(scores) != 2 or scores[1] is None or scores[1] < 2:
        raise ValueError(
            "The classifier must return one tensor (batch, classes) with at least two "
            f"classes. Received: output of shape {scores}"
        )
    return shape


def check_sharing(data: Any, batch_size: int | None, count: int) -> None:
    """Raises where batches cannot be divided evenly among replicas or devices."""
    if count == 1:
        return
    if batch_size is not None and batch_size % count:
        raise ValueError(
            "`batch_size` must be a multiple of the number of replicas or devices, "
            f"which share each batch. Received: batch_size={batch_size}, {count} of "
            "them"
        )
    if isinstance(data, ShuffledBatches) and not data.whole_batches:
        raise ValueError(
            "`batch_size` must be at most the number of images, of which replicas and "
            f"devices share whole batches. Received: batch_size={batch_size}, "
            f"{len(data.arrays[0])} images"
        )


def check_replicas(masker: SparseFeatureMasker, norms: str, strategy: Any) -> None:
    """Raises where a strategy's replicas cannot train the masker in step."""
    if strategy is None:
        return
    if norms == "batch":
        raise ValueError(
            '`norms="batch"` takes one norm over a batch, of which a replica sees its '
            'share only: use norms="image". Received: norms="batch", '
            f"{strategy.num_replicas_in_sync} replicas"
        )
    created = strategy.extended.variable_created_in_scope
    if not all(created(variable.value) for variable in masker.variables):
        raise ValueError(
            "`masker` must be made under `strategy.scope()`, as the classifier is, or "
            f"each replica would train its own. Received: masker={masker!r}"
        )


def optimizer_on_replicas(optimizer: Any, strategy: Any) -> Any:
    """Returns an optimizer whose variables are in the strategy's scope."""
    if strategy is None:
        return optimizer
    if strategy.extended.variable_created_in_scope(optimizer.iterations.value):
        return optimizer
    if optimizer.built:
        raise ValueError(
            "`optimizer` has trained already, and not under this strategy: give a new "
            f"one. Received: optimizer={optimizer!r}"
        )
    return made_anew(optimizer)


def made_anew(optimizer: Any) -> Any:
    """Returns an optimizer with the same settings and no variables."""
    return keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))


def scaled_in_half(optimizer: Any, *models: Any) -> Any:
    """Returns an optimizer that scales the loss if one of the models uses float16.

    Keras does this only for a model whose policy is float16; the trainer's is float32.
    """
    if not any(map(computes_in_half, models)):
        return optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def check_mask(masker: SparseFeatureMasker, shape: tuple) -> None:
    """Raises where the mask of noise images leaves [0, 1]."""
    sides = tuple(32 if side is None else side for side in shape)
    noise = np.random.default_rng(0).random((4, *sides), dtype="float32")
    probe = from_unit(noise, masker.value_range)
    mask = ops.convert_to_numpy(ops.cast(masker.mask(probe), "float32"))
    if not (mask.min() >= 0.0 and mask.max() <= 1.0):
        raise ValueError(
            "`masker.network` must return values in [0, 1]; its last activation "
            f"should be a sigmoid. Received: values from {mask.min()} to {mask.max()}"
        )


def build_filters(layers: Sequence[Any], shape: tuple) -> keras.Model | None:
    """Returns the filters, T of Algorithm 1, as a model, or None if there are none."""
    if not layers:
        return None
    filters = keras.Sequential([keras.Input(shape), *layers])
    if tuple(filters.output_shape[1:]) != tuple(shape):
        raise ValueError(
            "`preprocessing` must keep the shape of the images. Received: "
            f"{shape} in, {filters.output_shape[1:]} out"
        )
    if filters.trainable_variables:
        raise ValueError(
            "`preprocessing` must have no trainable weights. Received: "
            f"preprocessing={list(layers)}"
        )
    return filters


def reconstruction_weight(
    sparsity_weight: float,
    weight: float | None,
    rho: float,
    shape: tuple,
    batch: int | None,
) -> float:
    """Returns w3, by default computed from `rho`, and warns where `rho` is below 1.

    `batch` is the number of images under one norm, or None if it is unknown.
    """
    if batch is None or None in shape:
        if weight is None:
            raise ValueError(
                "`reconstruction_weight`, or `batch_size` and images of a known size, "
                "must be given: `rho` depends on them. Received: "
                f"reconstruction_weight=None, images {shape}, batch_size={batch}"
            )
        return weight
    reach = sparsity_weight * math.sqrt(batch * math.prod(shape))
    if weight is None:
        weight = reach / rho
    actual = reach / weight if weight else (math.inf if reach else 0.0)
    if actual < 1:
        warnings.warn(
            f"`rho` is {actual:.3g}: below 1 the mask of ones is the best there is, "
            "whatever the images. Raise `rho`, or lower `reconstruction_weight` to "
            f"under {reach:.3g}.",
            IdentityOptimumWarning,
            stacklevel=4,
        )
    return weight
