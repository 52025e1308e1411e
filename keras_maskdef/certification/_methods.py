"""Each way to certify: which masks it asks for, and what follows from the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from keras_maskdef._seeding import generator_of, seed_of
from keras_maskdef.certification import sampled
from keras_maskdef.certification._answers import distinct
from keras_maskdef.certification.double_masking import double_masking
from keras_maskdef.certification.exact import (
    ABSTAINS,
    ExactRule,
    Proof,
)
from keras_maskdef.certification.mask_law import MaskLaw

# A quarter of a gigabyte; any four of 16 cells have 53 million.
_MOST_PAIRS = 1 << 28
METHODS = ("exact", "per_set", "margin", "majority", "double_masking")


class Method(Protocol):
    """What certifies one image at a time, from answers of the classifier."""

    def masks(self, image: int) -> np.ndarray:
        """The masks to ask for, booleans `(masks, cells)`, true where hidden."""

    def judge(self, hidden: np.ndarray, answers: np.ndarray) -> Proof:
        """What the answers prove, `(families, 1)`; predictions of the same shape."""


class Exact:
    """All masks that the law can draw."""

    def __init__(
        self, law: MaskLaw, families: Sequence[np.ndarray], classes: int
    ) -> None:
        self._rule = ExactRule(law, families, classes)
        patterns = np.arange(2**law.cells)
        masks = (patterns[:, None] >> np.arange(law.cells) & 1).astype(bool)
        drawn = np.asarray(law.visible)[(~masks).sum(axis=1)] > 0
        self._masks, self._drawn = masks[drawn], patterns[drawn]
        self._answers = np.zeros(len(patterns), int)

    def masks(self, image: int) -> np.ndarray:
        return self._masks

    def judge(self, hidden: np.ndarray, answers: np.ndarray) -> Proof:
        # Masks that cannot be drawn weigh nothing, whatever they are said to answer.
        self._answers[self._drawn] = answers
        top, stands = self._rule.prove(self._answers)
        return Proof(np.full((len(stands), 1), top), stands[:, None])


class DoubleMasking:
    """One cover for each family; all pairs of its sets."""

    def __init__(self, families: Sequence[np.ndarray]) -> None:
        most = max(len(sets) ** 2 * sets.shape[1] for sets in families)
        if most > _MOST_PAIRS:
            raise ValueError(
                "`sizes` must leave fewer sets of cells for double masking, which "
                "hides any two of them: at most "
                f"{_MOST_PAIRS:,} pairs times cells. Received: {most:,}"
            )
        pairs = [(sets[:, None] | sets).reshape(-1, sets.shape[1]) for sets in families]
        self._masks, place = distinct(np.concatenate(pairs))
        ends = np.cumsum([len(each) for each in pairs])[:-1]
        self._places = [
            part.reshape(len(sets), len(sets))
            for part, sets in zip(np.split(place, ends), families, strict=True)
        ]

    def masks(self, image: int) -> np.ndarray:
        return self._masks

    def judge(self, hidden: np.ndarray, answers: np.ndarray) -> Proof:
        proofs = [double_masking(answers[place][None]) for place in self._places]
        return Proof(
            np.stack([proof.predicted for proof in proofs]),
            np.concatenate([proof.certified for proof in proofs]),
        )


@dataclass(frozen=True)
class Sampled:
    """Masks as the layer draws them: some to choose the class, others to bound it."""

    rule: str
    mask: Any
    image_shape: tuple[int, ...]
    law: MaskLaw
    families: Sequence[np.ndarray]
    classes: int
    alpha: float
    samples: int
    selection: int
    seed: int

    def masks(self, image: int) -> np.ndarray:
        """Masks of its own for each image, whatever else is certified beside it."""
        generator = generator_of(seed_of(self.seed, "certify", image))
        keep = self.mask.sample(
            np.empty((1, *self.image_shape), "float32"),
            views=self.selection + self.samples,
            seed=generator,
        )
        return ~keras.ops.convert_to_numpy(keep).reshape(len(keep), -1)

    def judge(self, hidden: np.ndarray, answers: np.ndarray) -> Proof:
        chosen = np.bincount(answers[: self.selection], minlength=self.classes)
        top = int(chosen.argmax())
        stands = self._stands(hidden[self.selection :], answers[self.selection :], top)
        # The first question is whether it is the prediction at all.
        predicted = np.full((len(self.families), 1), top if stands[0] else ABSTAINS)
        return Proof(predicted, (stands[1:] & stands[0])[:, None])

    def _stands(self, hidden: np.ndarray, answers: np.ndarray, top: int) -> np.ndarray:
        if self.rule == "per_set":
            nothing = np.zeros((1, self.law.cells), bool)
            families = [nothing, *self.families]
            return sampled.per_set(
                hidden, answers, top, self.law, families, self.classes, self.alpha
            )
        counts = np.bincount(answers, minlength=self.classes)
        # These rules know a set by its size, and the largest is the worst.
        sizes = [0, *(int(sets.sum(axis=1).max()) for sets in self.families)]
        rule = {"majority": sampled.majority, "margin": sampled.margin}[self.rule]
        return rule(counts, top, self.law, sizes, self.alpha)


def law_of(mask: Any, cells: int) -> MaskLaw:
    """The law of one view of a mask layer.

    Raises:
        ValueError: If the views are no independent draws.
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
    return getattr(MaskLaw, mask.sampling)(cells, mask.mask_rate)
