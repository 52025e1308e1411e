from keras_maskdef.attacks.expectation import expectation_over_masks
from keras_maskdef.attacks.registry import available, craft

__all__ = ["available", "craft", "expectation_over_masks"]
