"""Certifies images one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_maskdef.certification._run import Numbers, Prover, config_of, work
from keras_maskdef.certification.answers import Answers
from keras_maskdef.certification.certificates import Certificate, Certificates
from keras_maskdef.certification.mask_distribution import MaskDistribution
from keras_maskdef.certification.methods import (
    METHODS,
    DoubleMasking,
    Exact,
    Method,
    Sampled,
    distribution_of,
)
from keras_maskdef.certification.parts import Parts, check_soundness, take_apart
from keras_maskdef.certification.sampled import masks_needed
from keras_maskdef.certification.threats import Attack, attacks_of
from keras_maskdef.core.arguments import (
    as_array,
    check_choice,
    check_fraction,
    check_images,
    check_int,
    check_positive_int,
)
from keras_maskdef.core.batches import is_dataset
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.core.run_folder import kept_in
from keras_maskdef.datasets.batches import of_batches
from keras_maskdef.engines import Engine, as_engine
from keras_maskdef.layers import RandomGridMask, VotingEnsemble

RESULTS = "certificates.json"
_FEW = 8
# Masks to try before all are drawn.
_ENOUGH = 1 << 18


def certify(
    defence: keras.Model,
    images: Any,
    labels: Any = None,
    method: str = "exact",
    *,
    mask: RandomGridMask | None = None,
    threats: Sequence[str] = ("cells", "patch"),
    sizes: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    alpha: float = 1e-3,
    samples: int = 10_000,
    selection: int = 1_000,
    memory: int = 1 << 30,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    engine: str | Engine = "local",
    start: Start = silent,
) -> Certificates:
    """Proves for images that no attack on a few cells can change their class.

    It certifies a classifier of its own, made of the mask and the classifier of masked
    images. Its predictions are in the result:

    - `"exact"`: the class that most of all masks vote for, each mask weighted by its
      probability in the layer. It goes through all masks, up to 2**20, without chance.
      With `sampling="fixed_count"` there are fewer: C(16, 4) = 1,820.
    - `"per_set"`, `"margin"`, `"majority"`: the same vote from a sample of masks, by
      three rules. With enough masks the first is the tightest. Each image's certificate
      is wrong with a probability of `alpha` at most.
    - `"double_masking"`: PatchCleanser's rule with sets of cells as masks. No vote, no
      chance, and mostly the highest figures. It ignores the mask rate, and each attack
      and size has its own prediction.

    The certificates hold against every attack that changes the pixels of the cells in
    any way, and against nothing else: not against small changes of all pixels.

    Args:
        defence: `VotingEnsemble`, or a functional or sequential model with a
            `RandomGridMask` in it. Only pointwise layers may come before the mask. The
            number of views that vote there, and their pooling, do not matter.
        images: Floats `(n, height, width, channels)`, or channels first where the mask
            is; converted to float32. Or a `tf.data.Dataset`, a `PyDataset` or a
            `DataLoader` of batches of images and labels.
        labels: Integers `(n,)`, for the figures of accuracy; the proofs do not need
            them.
        method: One of the above.
        mask: `RandomGridMask` to certify with in place of the defence's own, such as
            one of another rate. With it, `defence` may be a classifier without a mask.
        threats: Of `"cells"` (any k cells, and so any k pixels), `"patch"` (any square
            of pixels, at any place), `"aligned_patch"` (one that begins at a cell's
            corner).
        sizes: Numbers of cells and sides of patches in pixels, for all threats or by
            threat. By default the smallest and those that the method can certify at
            all; for double masking, those that take at most 4,096 views.
        alpha: Float in (0, 1), see above; the deterministic methods ignore it.
        samples: Integer, masks that bound the vote of an image.
        selection: Integer, further masks that choose its class.
        memory: Bytes for the views in work and all outputs of the classifier's layers.
            Masks are drawn 2**24 cells at a time, which takes half a gigabyte at most
            besides, however many `samples` there are.
        seed: Integer for the masks of the sampled methods: each image has its own.
        folder: Where to keep finished work, and `certificates.json`; by default
            nothing is kept.
        resume: Whether to resume the run in `folder`.
        engine: Where the work is done: `"local"`, in this process, or `"ray"`, on a
            cluster, or one of `keras_maskdef.engines`. The results are the same.
        start: Starts a progress bar: a function of a description and a total. It
            returns a function of how much more is done. No bar by default.

    Returns:
        The certificates: predictions, what is proven of each, the method, `alpha` and
        the number of views that the classifier predicted.

    Raises:
        TypeError: If `defence` is no Keras model, or one that cannot be sent to the
            workers of a cluster; or `images` are not floating point.
        ValueError: For arguments out of range; for a method that could not certify
            anything here; or where a proof would not hold: a filter before the mask, a
            fill that depends on the image, a classifier that is random or looks at
            other images of the batch, views that are not drawn independently.
        FileExistsError: If the folder has a run already, and not `resume`.
        ImportError: If the library of the engine is not installed.

    Example:

    >>> import keras_maskdef as kmd
    >>> classifier = keras.Sequential(
    ...     [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> mask = kmd.RandomGridMask(2, mask_rate=0.75, sampling="fixed_count")
    >>> defended = kmd.VotingEnsemble(classifier, mask)
    >>> certificates = kmd.certify(defended, np.ones((5, 4, 4, 1), "float32"))
    >>> certificates["cells", 1].certified.shape, certificates.alpha
    ((5,), None)

    Reference:
        Beyond the papers. Levine and Feizi, AAAI 2020; Scholten et al., NeurIPS 2023;
        Xiang et al.: PatchCleanser, USENIX Security 2022.
    """
    engine = as_engine(engine)
    check_choice("method", method, METHODS)
    if not 0.0 < check_fraction("alpha", alpha) < 1.0:
        raise ValueError(f"`alpha` must be in (0, 1). Received: alpha={alpha}")
    if resume and folder is None:
        raise ValueError("`resume` needs the `folder` of a run. Received: folder=None")
    parts = take_apart(defence, mask)
    if is_dataset(images):
        if labels is not None:
            raise ValueError(
                "`labels` must be left out with a dataset, which has them. "
                f"Received: labels={labels!r}"
            )
        images, labels, _ = of_batches("images", images)
    images = _images(images)
    if isinstance(defence, VotingEnsemble) and not defence.built:
        defence.build(images.shape)
    inputs = parts.before_the_mask(images).astype("float32", copy=False)
    classes = check_soundness(parts, inputs)
    if labels is not None:
        labels = check_labels(labels, len(images), classes)
    answers = Answers(parts, inputs.shape[1:], check_positive_int("memory", memory))
    chance = method not in ("exact", "double_masking")
    numbers = Numbers(
        method,
        alpha if chance else None,
        check_positive_int("samples", samples),
        check_positive_int("selection", selection),
        check_int("seed", seed, 0),
    )
    distribution = (
        None
        if method == "double_masking"
        else distribution_of(parts.mask, answers.cells)
    )
    attacks = attacks_of(threats, sizes, inputs.shape[1:], parts.mask, distribution)
    worker = _method(numbers, parts, inputs.shape[1:], classes, distribution, attacks)
    config = config_of(numbers, defence, parts, images, attacks)
    with kept_in(folder, config, resume) as store:
        prover = Prover(worker, answers, inputs[:_FEW])
        proofs, views = work(prover, inputs, store, engine, start)
        certificates = Certificates(
            method,
            numbers.alpha,
            tuple(
                Certificate(a.threat, a.size, proofs.predicted[n], proofs.certified[n])
                for n, a in enumerate(attacks)
            ),
            views,
            labels,
            _notes(numbers, distribution),
            config,
        )
        if folder is not None:
            store.write_json(RESULTS, certificates.to_dict())
    return certificates


def _method(
    numbers: Numbers,
    parts: Parts,
    image_shape: tuple[int, ...],
    classes: int,
    distribution: MaskDistribution | None,
    attacks: Sequence[Attack],
) -> Method:
    families = [attack.sets for attack in attacks]
    if distribution is None:
        return DoubleMasking(families)
    if not distribution.largest:
        raise ValueError(
            "`defence` must hide each cell in more than half of its views: an attacker "
            "decides all others, and with them the vote. Received: "
            f"mask_rate={parts.mask.mask_rate}, which hides one cell in "
            f"{distribution.hidden(1):.3g} of the views"
        )
    if numbers.method == "exact":
        return Exact(distribution, families, classes)
    assert numbers.alpha is not None
    worker = Sampled(
        numbers.method,
        parts.mask,
        image_shape,
        distribution,
        families,
        classes,
        numbers.alpha,
        numbers.samples,
        numbers.selection,
        numbers.seed,
    )
    _check_samples(worker)
    return worker


def _check_samples(worker: Sampled) -> None:
    """Checks that the samples certify something if all views agree."""
    distribution = worker.distribution
    sizes = [int(sets.sum(axis=1).max()) for sets in worker.families]
    if not any(distribution.hidden(size) > 0.5 for size in sizes):
        return
    # What fewer samples certify, all samples certify.
    few = min(worker.samples, _ENOUGH)
    if not any(
        _can_certify(replace(worker, samples=n)) for n in sorted({few, worker.samples})
    ):
        needed = masks_needed(distribution, min(sizes), worker.alpha)
        raise ValueError(
            "`samples` must be more, or nothing is certified even if all views agree: "
            f'at least {needed} with method="majority", and more with the others. '
            f"Received: samples={worker.samples}, alpha={worker.alpha}, "
            f"method={worker.rule!r}"
        )


def _can_certify(worker: Sampled) -> bool:
    agreed = ((masks, np.zeros(len(masks.hidden), int)) for masks in worker.masks(0))
    return bool(worker.judge(agreed).certified.any())


def _notes(numbers: Numbers, distribution: MaskDistribution | None) -> tuple[str, ...]:
    if distribution is None:
        of = "the prediction by double masking; each row has its own"
    elif numbers.alpha is None:
        of = "the vote of all masks"
    else:
        of = (
            f"the vote of all masks, from {numbers.samples:,} of them; each image's "
            f"is wrong with a probability of {numbers.alpha:g} at most"
        )
    notes = [f"Certificates are of {of}."]
    if distribution is not None:
        most = distribution.largest
        cells = "1 cell" if most == 1 else f"{most} cells"
        notes.append(f"No rule can certify more than {cells} from such masks.")
    notes.append(
        "They hold against any change within the cells, and say nothing of small "
        "changes everywhere (Linf, L2)."
    )
    return tuple(notes)


def _images(images: Any) -> np.ndarray:
    array = as_array("images", images)
    check_images(array)
    if array.ndim != 4 or not len(array):
        raise ValueError(
            "`images` must be at least one image, (n, height, width, channels). "
            f"Received: images.shape={array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError("`images` must be finite. Received: NaN or infinity in images")
    return array.astype("float32", copy=False)
