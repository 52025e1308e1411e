"""The methods of `certify`: which masks they need, and what the answers prove."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from keras_maskdef.backend.seeding import generator_of, seed_of
from keras_maskdef.certification import sampled
from keras_maskdef.certification._drawn import Drawn, drawn, each_once, masks_of_a_draw
from keras_maskdef.certification.answers import distinct
from keras_maskdef.certification.double_masking import double_masking
from keras_maskdef.certification.exact import (
    ABSTAINS,
    ExactRule,
    Proof,
)
from keras_maskdef.certification.mask_distribution import MaskDistribution

# A quarter of a gigabyte; any four of 16 cells have 53 million.
_MOST_PAIRS = 1 << 28
_MOST_OF_ALL = 1 << 30
METHODS = ("exact", "per_set", "margin", "majority", "double_masking")

# Masks of one image, and the answers under them.
Answered = tuple[Drawn, np.ndarray]


class Method(Protocol):
    """Certifies one image at a time, from answers of the classifier."""

    @property
    def count(self) -> int:
        """How many masks an image has, repetitions counted."""

    @property
    def in_portions(self) -> bool:
        """Whether the masks may be more than memory holds."""

    def masks(self, image: int) -> Iterator[Drawn]:
        """The masks of an image; one portion unless they are `in_portions`."""

    def judge(self, found: Iterable[Answered]) -> Proof:
        """What the answers prove, `(families, 1)`; predictions of the same shape."""


class _Fixed:
    """The same masks for every image, each once."""

    in_portions = False

    def __init__(self, masks: np.ndarray) -> None:
        self._masks = masks

    @property
    def count(self) -> int:
        return len(self._masks)

    def masks(self, image: int) -> Iterator[Drawn]:
        yield each_once(self._masks)


class Exact(_Fixed):
    """All masks that the distribution can draw."""

    def __init__(
        self,
        distribution: MaskDistribution,
        families: Sequence[np.ndarray],
        classes: int,
    ) -> None:
        self._rule = ExactRule(distribution, families, classes)
        patterns = np.arange(2**distribution.cells)
        masks = (patterns[:, None] >> np.arange(distribution.cells) & 1).astype(bool)
        drawn = np.asarray(distribution.visible)[(~masks).sum(axis=1)] > 0
        super().__init__(masks[drawn])
        self._drawn = patterns[drawn]
        self._answers = np.zeros(len(patterns), int)

    def judge(self, found: Iterable[Answered]) -> Proof:
        ((_, answers),) = found
        # Masks that cannot be drawn weigh nothing, whatever their answer.
        self._answers[self._drawn] = answers
        top, stands = self._rule.prove(self._answers)
        return Proof(np.full((len(stands), 1), top), stands[:, None])


class DoubleMasking(_Fixed):
    """One cover for each family; all pairs of its sets."""

    def __init__(self, families: Sequence[np.ndarray]) -> None:
        _check_pairs(families)
        unlike = [distinct(_pairs(sets)) for sets in families]
        masks, place = distinct(np.concatenate([masks for masks, _ in unlike]))
        super().__init__(masks)
        ends = np.cumsum([len(masks) for masks, _ in unlike])[:-1]
        self._places = [
            part[within].reshape(len(sets), len(sets))
            for part, (_, within), sets in zip(
                np.split(place, ends), unlike, families, strict=True
            )
        ]

    def judge(self, found: Iterable[Answered]) -> Proof:
        ((_, answers),) = found
        proofs = [double_masking(answers[place][None]) for place in self._places]
        return Proof(
            np.stack([proof.predicted for proof in proofs]),
            np.concatenate([proof.certified for proof in proofs]),
        )


def _pairs(sets: np.ndarray) -> np.ndarray:
    return (sets[:, None] | sets).reshape(-1, sets.shape[1])


def _check_pairs(families: Sequence[np.ndarray]) -> None:
    pairs = [len(sets) ** 2 * sets.shape[1] for sets in families]
    for most, total in ((_MOST_PAIRS, max(pairs)), (_MOST_OF_ALL, sum(pairs))):
        if total > most:
            raise ValueError(
                "`sizes` must leave fewer sets of cells for double masking, which "
                f"hides any two of them: at most {_MOST_PAIRS:,} pairs times cells of "
                f"one size, {_MOST_OF_ALL:,} of all. Received: {total:,}"
            )


@dataclass(frozen=True)
class Sampled:
    """Masks as the layer draws them: some choose the class, others bound its share."""

    rule: str
    mask: Any
    image_shape: tuple[int, ...]
    distribution: MaskDistribution
    families: Sequence[np.ndarray]
    classes: int
    alpha: float
    samples: int
    selection: int
    seed: int

    @property
    def count(self) -> int:
        return self.selection + self.samples

    @property
    def in_portions(self) -> bool:
        return self.count > masks_of_a_draw(self.distribution.cells)

    def masks(self, image: int) -> Iterator[Drawn]:
        """The masks of an image, which do not depend on the other images."""
        generator = generator_of(seed_of(self.seed, "certify", image))
        one = np.empty((1, *self.image_shape), "float32")

        def draw(count: int) -> np.ndarray:
            keep = self.mask.sample(one, views=count, seed=generator)
            return ~keras.ops.convert_to_numpy(keep).reshape(count, -1)

        return drawn(draw, self.distribution.cells, self.selection, self.samples)

    def judge(self, found: Iterable[Answered]) -> Proof:
        families = self._families()
        sets = np.concatenate(families)
        chosen = np.zeros(self.classes, int)
        counts = np.zeros((len(sets), self.classes), int)
        for masks, answers in found:
            np.add.at(chosen, answers, masks.selected)
            counts += sampled.counts_given(
                masks.hidden, answers, masks.counted, sets, self.classes
            )
        top = int(chosen.argmax())
        stands = self._stands(counts, top, families)
        # The first entry tells whether it is the prediction at all.
        predicted = np.full((len(self.families), 1), top if stands[0] else ABSTAINS)
        return Proof(predicted, (stands[1:] & stands[0])[:, None])

    def _families(self) -> list[np.ndarray]:
        """Families to count the hiding views of; the first is all views."""
        nothing = np.zeros((1, self.distribution.cells), bool)
        return [nothing, *self.families] if self.rule == "per_set" else [nothing]

    def _stands(
        self, counts: np.ndarray, top: int, families: Sequence[np.ndarray]
    ) -> np.ndarray:
        if self.rule == "per_set":
            return sampled.per_set_of(
                counts, top, self.distribution, families, self.alpha
            )
        # These rules use only the size of a set, and the largest is the worst case.
        sizes = [0, *(int(sets.sum(axis=1).max()) for sets in self.families)]
        rule = {"majority": sampled.majority, "margin": sampled.margin}[self.rule]
        return rule(counts[0], top, self.distribution, sizes, self.alpha)


def distribution_of(mask: Any, cells: int) -> MaskDistribution:
    """The mask distribution of one view of a mask layer.

    Raises:
        ValueError: If the views are no independent draws, or of several mask rates.
    """
    if mask.sampling == "partition":
        raise ValueError(
            "`defence` must draw each view on its own for this method, and sampling="
            '"partition" deals the cells out over consecutive views. Certify it with '
            'sampling="fixed_count", of which every single view is like one of a '
            f"partition. Received: mask.sampling={mask.sampling!r}"
        )
    if not isinstance(mask.mask_rate, float):
        raise ValueError(
            "`defence` must have one mask rate in prediction; several are for training "
            f"(`train_mask`). Received: mask.mask_rate={mask.mask_rate}"
        )
    return getattr(MaskDistribution, mask.sampling)(cells, mask.mask_rate)
