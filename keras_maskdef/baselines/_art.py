"""The preprocessors of the Adversarial Robustness Toolbox."""

import warnings
from typing import Any

from keras_maskdef.core.extras import require


def preprocessors() -> Any:
    """Imports ART's preprocessors without its warning that PyTorch is missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PyTorch not found", UserWarning)
        return require("art.defences.preprocessor", "baselines")
