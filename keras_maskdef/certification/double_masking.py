"""Double masking: a certificate without votes and without chance."""

import numpy as np

from keras_maskdef.certification.exact import Proof


def double_masking(pairs: np.ndarray) -> Proof:
    """Predicts and certifies from the answers under one and two masks of a cover.

    The cover is a family of sets of cells such that every attack lies within one of
    them; hiding that set removes the attack. An image is certified if the answers under
    any two sets are all the same. Where all single masks agree, the prediction is their
    answer; else the answer of a minority mask that keeps it under every second mask;
    else the majority's.

    Why that holds: on the attacked image, the mask that hides the attack, together with
    any second mask, gives the answers of the clean image. If these are all c, no mask
    with another answer keeps it, and the mask that hides the attack keeps c.

    Args:
        pairs: Integers `(images, sets, sets)`: the answer with both sets hidden; on the
            diagonal, with one.

    Returns:
        Predictions, and whether each is certified, `(1, images)`: no attack within any
        set of the cover changes the prediction.

    Raises:
        ValueError: If `pairs` is not of that shape, or not symmetric.

    Example:

    >>> double_masking(np.array([[[3, 3], [3, 3]], [[3, 3], [3, 5]]]))
    Proof(predicted=array([3, 3]), certified=array([[ True, False]]))

    Reference:
        Xiang, Mahloujifar and Mittal: PatchCleanser, USENIX Security 2022, Algorithms 1
        and 2, with cells for the windows of pixels.
    """
    pairs = np.asarray(pairs)
    if (
        pairs.ndim != 3
        or not pairs.shape[2]
        or (pairs != pairs.transpose(0, 2, 1)).any()
    ):
        raise ValueError(
            "`pairs` must be (images, sets, sets) and symmetric: the order of two "
            f"masks does not matter. Received: pairs.shape={pairs.shape}"
        )
    predicted = np.array([_predict(answers) for answers in pairs], int)
    certified = (pairs == pairs[:, :1, :1]).all(axis=(1, 2))
    return Proof(predicted, certified[None])


def _predict(pairs: np.ndarray) -> int:
    single = np.diagonal(pairs)
    most = int(np.bincount(single).argmax())
    # Two masks with different answers cannot both keep their answers.
    stays = (pairs == single[:, None]).all(axis=1)
    return int(single[stays.argmax()]) if stays.any() else most
