"""Graphs of TensorFlow and what they hold go with the call that made them."""

import gc
import warnings

import keras
import numpy as np
import pytest
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.framework.ops import gradient_registry

import keras_maskdef as kmd
from keras_maskdef.attacks import craft
from keras_maskdef.evaluation import AttackSetting, evaluate

IMAGES = np.random.default_rng(0).random((4, 12, 12, 1), dtype="float32")
LABELS = np.arange(4) % 3
OPTIONS = {
    "pgd": {"steps": 2},
    "mim": {"steps": 2},
    "diverse": {"steps": 2},
    "deepfool": {"steps": 2},
    "cw": {"steps": 2, "binary_search_steps": 1},
    "apgd": {"steps": 2},
}


def classifier():
    layers = [keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((12, 12, 1)), *layers])


def kept():
    """Names of gradients in TensorFlow's registry, graphs, and models."""
    for _ in range(3):  # what one collection frees may hold more
        gc.collect()
    names = [n for n in gradient_registry._registry if n.startswith("CustomGradient")]
    graphs, models = (
        sum(issubclass(type(each), kind) for each in gc.get_objects())
        for kind in (FuncGraph, keras.Model)
    )
    return len(names), graphs, models


def grown(function, calls=3):
    """What more calls of a function add, once it was called."""
    function()
    before = kept()
    for _ in range(calls):
        function()
    return np.subtract(kept(), before).tolist()


@pytest.mark.parametrize("attack", OPTIONS)
def test_an_attack_leaves_nothing_behind(attack):
    norm = "l2" if attack == "cw" else "linf"

    def call():
        craft(attack, classifier(), IMAGES, LABELS, 0.1, norm, **OPTIONS[attack])

    assert grown(call) == [0, 0, 0]


@pytest.mark.parametrize("is_new", [True, False])
def test_an_evaluation_leaves_nothing_behind(is_new):
    same = classifier()

    def call():
        model = classifier() if is_new else same
        filtered = kmd.defend(
            model, filters=[kmd.MedianFilter(2)], voting=kmd.RandomGridMask(3)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attack = AttackSetting("fgsm", "linf", 0.1)
            evaluate(filtered, (IMAGES, LABELS), [attack], eot_samples=(1,), repeats=2)

    assert grown(call) == [0, 0, 0]
