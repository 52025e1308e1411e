"""A defended classifier from its parts."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_maskdef.layers import RandomGridMask, SparseFeatureMasker, VotingEnsemble
from keras_maskdef.layers._structure import as_filters


def defend(
    classifier: keras.Model,
    masker: SparseFeatureMasker | None = None,
    filters: Any = (),
    voting: RandomGridMask | Mapping[str, Any] | None = None,
) -> keras.Model:
    """Puts a masker, filters and a vote before a classifier, in this order.

    The parts are shared, not copied: what trains them later trains the result.

    Args:
        classifier: Built Keras model from images in [0, 1] to `(batch, classes)`.
        masker: `SparseFeatureMasker`, trained by `AlternatingTraining`.
        filters: Filter layer, or a sequence of them, such as `MedianFilter(2)`.
        voting: How masked views of the filtered image vote: the arguments of
            `VotingEnsemble` without the classifier, as a mapping; or a `RandomGridMask`
            for its default vote. `None` for no vote.

    Returns:
        A functional `keras.Model` of the classifier's input and output shapes, which
        saves, loads and exports like any other.

    Raises:
        TypeError: For parts that are no Keras layers of the kind asked for.
        ValueError: For a classifier that is not built, or parts that do not fit it.

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
    if not isinstance(classifier, keras.layers.Layer):
        raise TypeError(
            f"`classifier` must be a Keras model. Received: classifier={classifier!r}"
        )
    if masker is not None and not isinstance(masker, SparseFeatureMasker):
        raise TypeError(
            f"`masker` must be a SparseFeatureMasker. Received: masker={masker!r}"
        )
    front = [*(() if masker is None else (masker,)), *as_filters("filters", filters)]
    x = inputs = _input(classifier)
    for layer in front:
        x = layer(x)
    voter = classifier if voting is None else _vote(classifier, voting)
    return keras.Model(inputs, voter(x), name="defended")


def _input(classifier: keras.Model) -> keras.KerasTensor:
    shape = getattr(classifier, "input_shape", None) if classifier.built else None
    if shape is None and classifier.built:
        shape = (classifier.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, (tuple, list)) or len(shape) != 4:
        raise ValueError(
            "`classifier` must be built, for images: call it on some once, or give it "
            f"a `keras.Input`. Received: classifier={classifier!r}, input shape {shape}"
        )
    return keras.Input(tuple(shape)[1:])


def _vote(
    classifier: keras.Model, voting: RandomGridMask | Mapping[str, Any]
) -> VotingEnsemble:
    if isinstance(voting, RandomGridMask):
        voting = {"mask": voting}
    if not isinstance(voting, Mapping):
        raise TypeError(
            "`voting` must be a RandomGridMask or a mapping of VotingEnsemble's "
            f"arguments. Received: voting={voting!r}"
        )
    return VotingEnsemble(classifier, **voting)
