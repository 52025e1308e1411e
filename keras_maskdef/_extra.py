"""Optional libraries, imported where they are used."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Imports a module of an extra, or says which extra to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"This needs the package {error.name!r}: "
            f"pip install 'keras-maskdef[{extra}]'",
            name=error.name,
        ) from None
