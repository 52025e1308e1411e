"""The preprocessors of the Adversarial Robustness Toolbox."""

import warnings
from typing import Any

from keras_maskdef.core.extras import require


def preprocessors() -> Any:
    """Imports them; ART warns at its import that PyTorch is not here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PyTorch not found", UserWarning)
        return require("art.defences.preprocessor", "baselines")
