"""Assembles a defended classifier from its parts."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_maskdef.core.output_kind import check_scores
from keras_maskdef.core.value_range import check_value_range
from keras_maskdef.inspection.agreement import (
    check_data_formats,
    check_value_ranges,
    in_value_range,
)
from keras_maskdef.inspection.structure import (
    as_filters,
    check_called_as_predicted,
    input_shape,
)
from keras_maskdef.layers import RandomGridMask, SparseFeatureMasker, VotingEnsemble


def defend(
    classifier: keras.Model,
    masker: SparseFeatureMasker | None = None,
    filters: Any = (),
    voting: RandomGridMask | Mapping[str, Any] | None = None,
    value_range: Sequence[float] | None = None,
) -> keras.Model:
    """Puts a masker, filters and a vote before a classifier, in this order.

    The parts are shared, not copied: training a part later also trains the result.

    The result takes the same images as the classifier, in the same range and layout;
    the defence comes before any preprocessing layers of the classifier.
    `docs/attaching.md` has an example for every kind of classifier.

    Args:
        classifier: Built Keras model from floating point images to `(batch,
            classes)`: functional, sequential or subclassed.
        masker: `SparseFeatureMasker`, trained by `AlternatingTraining`.
        filters: Filter layer, or a sequence of them, such as `MedianFilter(2)`.
        voting: The vote of masked views of the filtered image: a mapping with the
            arguments of `VotingEnsemble` except the classifier, or a `RandomGridMask`
            for the default vote. `None` for no vote. The mask's `fill_value` is on the
            scale of the images.
        value_range: The lowest and the highest value of the images, such as `(0,
            255)`. This library's filters that depend on the range are replaced by
            copies for it. A masker must have been created for this range, as it learns
            from such images. Other layers get the images unchanged. By default every
            part keeps its range, which is [0, 1] unless set.

    Returns:
        A functional `keras.Model` with the classifier's input and output shapes, which
        saves, loads and exports like any other.

    Raises:
        TypeError: For parts that are not Keras layers of the required kind.
        ValueError: For a classifier that is not built, takes anything else than
            floating point images, returns anything else than `(batch, classes)`, or
            preprocesses in `predict` alone, like a task of KerasHub; for a vote of a
            single score or without a mask; for parts whose `value_range` or
            `data_format` differ, or do not fit the images.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> classifier = kmd.architectures.lenet()
    >>> masker = kmd.SparseFeatureMasker()
    >>> defended = kmd.defend(classifier, masker, filters=[kmd.MedianFilter(2)])
    >>> defended.predict(np.zeros((5, 28, 28, 1), "float32"), verbose=0).shape
    (5, 10)

    Reference:
        Yu et al.: SFM-Defense (2022), section 5.3; Xu et al.: MAD (2022), section 3.1.
    """
    _check_classifier(classifier)
    x = inputs = _input(classifier)
    front = _front(masker, filters, value_range)
    vote = _arguments(voting)
    masks = [] if vote is None else [vote.get("mask"), vote.get("train_mask")]
    check_data_formats([*front, *masks], inputs.shape)
    scores = classifier.compute_output_spec(inputs)
    check_scores(classifier, scores, fewest=1 if vote is None else 2)
    for layer in front:
        x = layer(x)
    voter = classifier if vote is None else VotingEnsemble(classifier, **vote)
    return keras.Model(inputs, voter(x), name="defended")


def _check_classifier(classifier: Any) -> None:
    if not isinstance(classifier, keras.layers.Layer):
        raise TypeError(
            f"`classifier` must be a Keras model. Received: classifier={classifier!r}"
        )
    check_called_as_predicted("classifier", classifier)


def _input(classifier: keras.Model) -> keras.KerasTensor:
    tensors = getattr(classifier, "inputs", None) or ()
    if len(tensors) > 1 or isinstance(getattr(classifier, "input", None), dict):
        raise ValueError(
            "`classifier` must take images and nothing else, and not by a name: "
            "`keras.Model(classifier.inputs[0], classifier.outputs[0])` leaves out the "
            f"name. Received: classifier={classifier!r}, which takes {classifier.input}"
        )
    if tensors and "float" not in tensors[0].dtype:
        raise ValueError(
            "`classifier` must take floating point images, or what is put before it "
            "loses its fractions and its gradient: give it a `keras.Input` in float32. "
            f"Received: classifier={classifier!r}, input {tensors[0].dtype}"
        )
    shape = input_shape(classifier)
    if shape is None or len(shape) != 4:
        raise ValueError(
            "`classifier` must be built, for images: call it on some once, or give it "
            f"a `keras.Input`. Received: classifier={classifier!r}, input shape {shape}"
        )
    return keras.Input(shape[1:])


def _front(masker: Any, filters: Any, value_range: Any) -> list[keras.layers.Layer]:
    if masker is not None and not isinstance(masker, SparseFeatureMasker):
        raise TypeError(
            f"`masker` must be a SparseFeatureMasker. Received: masker={masker!r}"
        )
    front = [*(() if masker is None else (masker,)), *as_filters("filters", filters)]
    if value_range is not None:
        front = in_value_range(front, check_value_range(value_range))
    check_value_ranges(front)
    return front


def _arguments(voting: Any) -> Mapping[str, Any] | None:
    """The arguments of the vote, or None for no vote."""
    if isinstance(voting, RandomGridMask):
        return {"mask": voting}
    if not (voting is None or isinstance(voting, Mapping)):
        raise TypeError(
            "`voting` must be a RandomGridMask or a mapping of VotingEnsemble's "
            f"arguments. Received: voting={voting!r}"
        )
    if voting is not None and "mask" not in voting:
        raise ValueError(
            "`voting` must hold VotingEnsemble's `mask`, such as {'mask': "
            f"RandomGridMask(8), 'votes': 5}}. Received: voting={voting!r}"
        )
    return voting
