"""Certificates of mask-based defences.

`certify` certifies a model. It rests on functions over predictions, which need no
model: `exact`, the sampled rules `majority`, `margin` and `per_set`, `double_masking`,
mask distributions, and the sets of cells that an attack can touch.
"""

import warnings
from typing import Any

from keras_maskdef.certification.bounds import lower_bound, upper_bound
from keras_maskdef.certification.cell_sets import any_cells, patches
from keras_maskdef.certification.certificates import Certificate, Certificates
from keras_maskdef.certification.certify import certify
from keras_maskdef.certification.double_masking import double_masking
from keras_maskdef.certification.exact import Proof, exact
from keras_maskdef.certification.mask_distribution import MaskDistribution
from keras_maskdef.certification.sampled import (
    majority,
    margin,
    masks_needed,
    per_set,
)

__all__ = [
    "Certificate",
    "Certificates",
    "MaskDistribution",
    "Proof",
    "any_cells",
    "certify",
    "double_masking",
    "exact",
    "lower_bound",
    "majority",
    "margin",
    "masks_needed",
    "patches",
    "per_set",
    "upper_bound",
]


def __getattr__(name: str) -> Any:
    if name == "MaskLaw":
        warnings.warn(
            "`MaskLaw` is now `MaskDistribution`.", DeprecationWarning, stacklevel=2
        )
        return MaskDistribution
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
