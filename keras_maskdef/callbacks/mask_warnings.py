"""Warnings of a masker's training."""


class IdentityOptimumWarning(UserWarning):
    """With these weights no mask is better than the mask of ones (`rho < 1`)."""


class EmptyMaskWarning(UserWarning):
    """The mask hid nearly everything for a whole pass."""


class FullMaskWarning(UserWarning):
    """The mask hid nearly nothing for a whole pass."""
