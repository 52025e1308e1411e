"""What was written for former versions still works."""

import importlib
import sys
import warnings

import pytest

from keras_maskdef.core.former_names import MOVED, todays_name


@pytest.mark.parametrize("name", [*MOVED, "recipes.training"])
def test_a_module_that_moved_is_found_with_one_warning(name):
    name = f"keras_maskdef.{name}"
    sys.modules.pop(name, None)
    today = importlib.import_module(todays_name(name))
    spec = today.__spec__
    with pytest.warns(DeprecationWarning, match=f"`{name}` is now `{today.__name__}`"):
        assert importlib.import_module(name) is today
    with warnings.catch_warnings(action="error"):
        assert importlib.import_module(name) is today
    assert today.__spec__ is spec


def test_names_are_found_in_packages_that_moved():
    sys.modules.pop("keras_maskdef.comparisons", None)
    sys.modules.pop("keras_maskdef.comparisons.jpeg", None)
    with pytest.warns(DeprecationWarning):
        from keras_maskdef.comparisons import GaussianVote, jpeg
    from keras_maskdef import baselines

    assert GaussianVote is baselines.GaussianVote and jpeg is baselines.jpeg


def test_other_names_are_not_found():
    with pytest.raises(ModuleNotFoundError, match="keras_maskdef.nothing"):
        importlib.import_module("keras_maskdef.nothing")
    with pytest.raises(ModuleNotFoundError, match="keras_maskdef.papers.nothing"):
        importlib.import_module("keras_maskdef.recipes.nothing")
