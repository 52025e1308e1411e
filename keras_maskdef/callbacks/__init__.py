from keras_maskdef.callbacks.alternating_training import AlternatingTraining
from keras_maskdef.callbacks.mask_warnings import (
    EmptyMaskWarning,
    FullMaskWarning,
    IdentityOptimumWarning,
)

__all__ = [
    "AlternatingTraining",
    "EmptyMaskWarning",
    "FullMaskWarning",
    "IdentityOptimumWarning",
]
