"""SFM-Defense, as data."""

from dataclasses import dataclass
from typing import Any

import keras

from keras_maskdef import defend
from keras_maskdef.papers.alternation import Alternation


@dataclass(frozen=True)
class SparseFeatures:
    """A masker, if the alternation has one, then the filters, then the classifier.

    Args:
        alternation: What is trained.
        masked: Whether the masker is there in prediction.
    """

    alternation: Alternation
    masked: bool = True

    def build(self, trained: Any) -> keras.Model:
        """The defended model; `trained` gives what a training made."""
        made = trained(self.alternation)
        masker = made.masker if self.masked else None
        return defend(made.classifier, masker, self.alternation.filters())
