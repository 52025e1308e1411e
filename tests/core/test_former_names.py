"""What was written for former versions still works."""

import importlib
import sys
import warnings

import numpy as np
import pytest

from keras_maskdef import certification
from keras_maskdef.core.former_names import MOVED, renamed_arguments, todays_name


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


def test_an_argument_by_both_of_its_names_is_refused():
    @renamed_arguments(old="new")
    def double(new):
        return 2 * new

    with pytest.warns(DeprecationWarning, match="`old` of `double` is now `new`"):
        assert double(old=3) == 6
    with pytest.raises(TypeError, match="Received: old=3, new=4"):
        double(old=3, new=4)


def test_other_names_are_not_found():
    with pytest.raises(ModuleNotFoundError, match="keras_maskdef.nothing"):
        importlib.import_module("keras_maskdef.nothing")
    with pytest.raises(ModuleNotFoundError, match="keras_maskdef.papers.nothing"):
        importlib.import_module("keras_maskdef.recipes.nothing")


@pytest.mark.parametrize("rule", ["exact", "majority", "margin", "masks_needed"])
def test_the_mask_distribution_is_taken_as_law(rule):
    masks = certification.MaskDistribution.bernoulli(cells=2, mask_rate=0.9)
    options = {
        "exact": {
            "labels": np.ones((1, 4), int),
            "families": [np.eye(2, dtype=bool)],
            "classes": 2,
        },
        "majority": {"counts": np.array([9, 0]), "top": 0, "sizes": [1], "alpha": 0.1},
        "margin": {"counts": np.array([9, 0]), "top": 0, "sizes": [1], "alpha": 0.1},
        "masks_needed": {"size": 1, "alpha": 0.1},
    }[rule]
    function = getattr(certification, rule)
    with pytest.warns(DeprecationWarning, match=f"`law` of `{rule}` is now"):
        former = function(law=masks, **options)
    np.testing.assert_equal(former, function(distribution=masks, **options))
