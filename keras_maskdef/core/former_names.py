"""Modules and arguments under their former names."""

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = "keras_maskdef"
MOVED = {
    "certification.mask_law": "certification.mask_distribution",
    "certification.pictures": "reporting.certificate_curves",
    "comparisons": "baselines",
    "evaluation.html_report": "reporting.html_report",
    "evaluation.pictures": "reporting.pictures",
    "evaluation.report": "results.report",
    "evaluation.results": "evaluation.rows",
    "evaluation.score": "results.score",
    "recipes": "papers",
}


def todays_name(name: str) -> str | None:
    """Today's name of a module that has moved, itself or with its package.

    >>> todays_name("keras_maskdef.comparisons.jpeg")
    'keras_maskdef.baselines.jpeg'
    """
    for former, today in MOVED.items():
        former, today = f"{_PACKAGE}.{former}", f"{_PACKAGE}.{today}"
        if name == former or name.startswith(f"{former}."):
            return today + name.removeprefix(former)
    return None


def keep_former_names() -> None:
    """Makes former names work, each with a `DeprecationWarning` at its first import."""
    # Before the finder of files, which would import modules of a package twice.
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if todays_name(name) is None:
            return None
        return ModuleSpec(name, _Loader())


class _Loader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        today = todays_name(module.__name__)
        assert today is not None
        sys.modules[module.__name__] = importlib.import_module(today)
        warnings.warn(
            f"`{module.__name__}` is now `{today}`.", DeprecationWarning, stacklevel=2
        )


def renamed_arguments(**renamed: str) -> Callable[[Callable], Callable]:
    """Makes a function take arguments by their former names, with a warning.

    Args:
        **renamed: Today's names by their former ones.
    """

    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            for former, today in renamed.items():
                if former not in options:
                    continue
                if today in options:
                    raise TypeError(
                        f"`{former}` is the former name of `{today}`: give one. "
                        f"Received: {former}={options[former]!r}, "
                        f"{today}={options[today]!r}"
                    )
                warnings.warn(
                    f"`{former}` of `{function.__name__}` is now `{today}`.",
                    DeprecationWarning,
                    stacklevel=2,
                )
                options[today] = options.pop(former)
            return function(*arguments, **options)

        return call

    return decorate
