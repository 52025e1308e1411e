"""Imports optional libraries where they are used."""

import importlib
from typing import Any


def require(module: str, extra: str) -> Any:
    """Imports a module, or raises ImportError that names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This needs {module.partition('.')[0]} ({error}): "
            f"pip install 'keras-maskdef[{extra}]'"
        ) from error
