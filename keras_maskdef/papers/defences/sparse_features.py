"""Settings of SFM-Defense."""

from dataclasses import dataclass
from typing import Any

import keras

from keras_maskdef import defend
from keras_maskdef.papers.alternation import Alternation


@dataclass(frozen=True)
class SparseFeatures:
    """A masker (if the alternation has one), the filters, and the classifier.

    Args:
        alternation: The alternation that is trained.
        masked: Whether the masker is used in prediction.
    """

    alternation: Alternation
    masked: bool = True

    def build(self, trained: Any) -> keras.Model:
        """The defended model; `trained` returns the result of a training."""
        alternated = trained(self.alternation)
        masker = alternated.masker if self.masked else None
        return defend(alternated.classifier, masker, self.alternation.filters())
