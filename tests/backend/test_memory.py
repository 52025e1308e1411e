"""What many calls leave behind in a process that lives long."""

import gc
import subprocess
import sys
import weakref
from functools import partial
from pathlib import Path
from types import FunctionType

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy
from paths import SUPPORT

import keras_maskdef as kmd
from keras_maskdef.backend.seeding import generator_of
from keras_maskdef.evaluation import AttackSetting, Defence
from keras_maskdef.evaluation.frozen import frozen_masks

IMAGES, LABELS = toy.data(4)
pytestmark = pytest.mark.filterwarnings(
    "ignore::keras_maskdef.evaluation.checks.RobustnessWarning"
)


def collect():
    """Again and again: what was made of a model goes when that is gone."""
    for _ in range(3):
        gc.collect()


def in_the_model():
    """With a mask, a masker and a filter of its own, and no vote."""
    masker = kmd.SparseFeatureMasker(
        kmd.architectures.attention_unet((8, 8, 1), (2, 4))
    )
    layers = [
        kmd.MedianFilter(2),
        masker,
        kmd.RandomGridMask(2, 0.75, sampling="fixed_count"),
    ]
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), *layers, *toy.classifier().layers]
    )
    model(IMAGES)
    return model


def voted():
    mask = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
    return kmd.defend(toy.classifier(), filters=[kmd.MedianFilter(2)], voting=mask)


def evaluate(model, folder):
    kmd.evaluate(
        model,
        (IMAGES, LABELS),
        [AttackSetting("fgsm", "linf", 0.1)],
        threat_models=("classifier", "gray_box", "white_box"),
        eot_samples=(1,),
        repeats=1,
        folder=folder,
    )


def predict(model, folder):
    kmd.predict(model, IMAGES, seed=0)


def freeze(model, folder):
    frozen_masks(model, (8, 8, 1), seed=1)


CALLS = {
    "evaluate a vote": (evaluate, voted),
    "evaluate a model": (evaluate, in_the_model),
    "predict": (predict, voted),
    "freeze a vote": (freeze, voted),
    "freeze a model": (freeze, in_the_model),
}


def nodes(layer):
    inner = [*getattr(layer, "layers", ()), getattr(layer, "classifier", None)]
    return (
        len(layer._inbound_nodes)
        + len(layer._outbound_nodes)
        + sum(nodes(each) for each in inner if each is not None)
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_model_is_as_it_was_after_each_call(name, tmp_path):
    call, build = CALLS[name]
    model = build()
    call(model, tmp_path / "0")
    before = nodes(model)
    for number in (1, 2):
        call(model, tmp_path / str(number))
    assert nodes(model) == before


@pytest.mark.parametrize("name", ["predict", "freeze a vote", "freeze a model"])
def test_a_model_goes_when_nobody_holds_it(name, tmp_path):
    call, build = CALLS[name]
    model = build()
    call(model, tmp_path / "run")
    held = [weakref.ref(layer) for layer in (model, *model.layers)]
    del model
    collect()
    assert [layer() for layer in held] == [None] * len(held)


def test_certify_leaves_nothing_on_a_model():
    mask = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
    layers = [keras.layers.Rescaling(1.0), mask, *toy.classifier().layers]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    kmd.certify(model, IMAGES[:1])
    before = nodes(model)
    kmd.certify(model, IMAGES[:1])
    assert nodes(model) == before
    held = [weakref.ref(layer) for layer in (model, *model.layers)]
    del model, layers, mask
    collect()
    assert [layer() for layer in held] == [None] * len(held)


def test_a_function_of_the_host_goes_with_its_graph():
    past = Defence.behind(np.round, toy.classifier()).white_box[0]
    expected, held = past(IMAGES), weakref.ref(past)
    function = tf.function(partial(past, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((None, 8, 8, 1)))
    del past, function
    collect()
    np.testing.assert_allclose(concrete(tf.constant(IMAGES)), expected, rtol=1e-6)
    del concrete
    collect()
    assert held() is None


def test_generators_for_one_use_have_one_name():
    """TensorFlow keeps a kernel for each name of a variable."""
    names = set()
    for _ in range(3):
        generator = generator_of(0)
        names.add(generator.state.path)
    assert len(names) == 1
    package = Path(kmd.__file__).parent
    users = {
        path.name
        for path in package.rglob("*.py")
        if "= keras.random.SeedGenerator(" in path.read_text()
    }
    assert not users


def test_variables_of_masks_have_one_name(monkeypatch):
    """`predict` of a new vote kept 37 KiB, and 0.3 MiB of pages, for a new name."""
    names = set()
    make = keras.Variable.__init__

    def noted(self, *arguments, **options):
        make(self, *arguments, **options)
        names.add(self.path)

    monkeypatch.setattr(keras.Variable, "__init__", noted)
    kmd.RandomGridMask(2)
    before = set(names)
    kmd.RandomGridMask(2)
    assert before and names == before


def test_a_trace_of_a_kernel_leaves_no_function():
    def trace():
        layer = kmd.MedianFilter(2, implementation="native")
        tf.function(lambda x: layer(x), autograph=False)(tf.constant(IMAGES))

    def left():
        collect()
        return sum(
            getattr(each, "__qualname__", "") == "do_not_convert.<locals>.wrapper"
            for each in gc.get_objects()
            if type(each) is FunctionType  # a proxy of PyTorch warns when it is asked
        )

    trace()
    before = left()
    for _ in range(3):
        trace()
    assert left() == before


def test_an_attack_does_not_clear_the_caches_of_tensorflow(monkeypatch):
    """`tf.random.set_seed` does; a kernel made anew leaves 8 bytes and a page."""
    attack = kmd.attacks.prepare("pgd", toy.classifier(), steps=1)
    monkeypatch.setattr(tf.random, "set_seed", None)
    one, same, other = (attack(IMAGES, LABELS, [0.1], seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    ["craft", "evaluate", "evaluate_behind", "evaluate_one", "certify", "predict"]
    + ["trace_filters"],
)
def test_memory_of_many_calls(call):
    script = SUPPORT / "memory_of_calls.py"
    done = subprocess.run(
        [sys.executable, script, call], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
