"""What each layer stands on the backend of KERAS_BACKEND; run by test_backends.py.

Prints one JSON object: for each cell of the table whether it works, and what there is
to say of it. The words that follow the script's name choose cells.
"""

import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import ops

import keras_maskdef as kmd
from keras_maskdef import kernels
from keras_maskdef.attacks import craft
from keras_maskdef.backend.seeding import reseed
from keras_maskdef.evaluation import AttackSetting
from keras_maskdef.evaluation import evaluate as run_evaluation

OTHER_MASKS = "other masks than eagerly from the same seed"
SINGLE = "in float32"
BACKEND = keras.backend.backend()
RANDOM = np.random.default_rng(0)
# Sides that the cells do not divide.
IMAGES = RANDOM.random((4, 9, 10, 3)).astype("float32")
KEEP = RANDOM.random((4, 3, 4)) < 0.5
VIEWS = RANDOM.random((5, 4, 3, 4)) < 0.5
LABELS = np.arange(4) % 3


def classifier(**arguments):
    """Its weights are the same on every backend."""
    layers = [
        keras.layers.Flatten(**arguments),
        keras.layers.Dense(3, **arguments),
    ]
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), *layers])
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


def vote(dtype=None, seed=7):
    mask = kmd.RandomGridMask(3, 0.5, seed=seed, dtype=dtype)
    return kmd.VotingEnsemble(classifier(dtype=dtype), mask, dtype=dtype)


def masker(dtype=None):
    convolution = keras.layers.Conv2D(
        1, 3, padding="same", activation="sigmoid", dtype=dtype
    )
    network = keras.Sequential([keras.Input(IMAGES.shape[1:]), convolution])
    random = np.random.default_rng(2)
    network.set_weights([random.normal(size=w.shape) for w in network.get_weights()])
    return kmd.SparseFeatureMasker(network, dtype=dtype)


@keras.saving.register_keras_serializable()
class AllSamplings(keras.layers.Layer):
    """Three masks side by side, so that they are compiled at once."""

    def __init__(self, dtype=None, seed=7, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.masks = [
            kmd.RandomGridMask(3, 0.5, sampling=sampling, seed=seed, dtype=dtype)
            for sampling in ("bernoulli", "fixed_count", "partition")
        ]

    def call(self, images):
        return ops.concatenate([mask(images) for mask in self.masks], axis=-1)


def image_filter(build, *parameters, **arguments):
    return lambda dtype=None: build(*parameters, **arguments, dtype=dtype)


LAYERS: dict[str, Callable] = {
    "RandomGridMask": AllSamplings,
    "VotingEnsemble": vote,
    "SparseFeatureMasker": masker,
    "BitDepthReduction": image_filter(kmd.BitDepthReduction, 3),
    "MedianFilter": image_filter(kmd.MedianFilter, 3),
    'MedianFilter, "native"': image_filter(
        kmd.MedianFilter, 3, implementation="native"
    ),
    "NonLocalMeans": image_filter(kmd.NonLocalMeans, 4, 1, 3),
}
RANDOM_LAYERS = ("RandomGridMask", "VotingEnsemble")
# What a filter must give, to the last bit, whatever runs it.
ORACLES = {
    "BitDepthReduction": lambda images: kernels.bit_depth(images, 3),
    "MedianFilter": lambda images: kernels.median(images, 3),
    'MedianFilter, "native"': lambda images: kernels.median(images, 3),
    "NonLocalMeans": lambda images: kernels.nl_means(images, 4, 1, 3),
}


def array(tensor):
    return np.array(ops.convert_to_numpy(ops.stop_gradient(tensor)))


def same(made, expected):
    np.testing.assert_array_equal(made.astype("float64"), expected.astype("float64"))


def reset(layer):
    """The same random state, whenever it is called."""
    reseed([layer], 7)


def as_seen(images, dtype):
    """Rounded to a dtype."""
    return array(ops.cast(ops.cast(images, dtype), "float32"))


def check_pixels(name, model, made):
    """Filters as the kernels have them, the rest as the same model eagerly."""
    dtype = model.layers[-1].compute_dtype
    if name in ORACLES:
        return same(made, as_seen(ORACLES[name](as_seen(IMAGES, dtype)), dtype))
    reset(model)
    expected = array(ops.cast(model(IMAGES), "float32"))
    if name == "RandomGridMask":
        return check_masks(made, expected, as_seen(IMAGES, dtype))
    tolerance = 3e-2 if dtype in ("float16", "bfloat16") else 1e-5
    if np.allclose(made, expected, tolerance, 1e-6):
        return ""
    shares = np.exp(made) * 5
    np.testing.assert_allclose(shares, shares.round(), atol=1e-3)
    return OTHER_MASKS


def check_masks(made, expected, images):
    """Every pixel is shown with its bits or hidden, about half of the cells."""
    for mine in np.split(made, 3, -1):
        hidden = (mine == 0).all(-1, keepdims=True)
        assert 0.2 < hidden.mean() < 0.8
        same(mine, np.where(hidden, 0, images))
    return "" if (made == expected).all() else OTHER_MASKS


def check_model(name, dtype=None, **compiled):
    """A fit and a prediction in one way of running, and the pixels of the second."""
    layer = LAYERS[name](dtype)
    inputs = keras.Input(IMAGES.shape[1:])
    alone = keras.Model(inputs, layer(inputs))
    front = keras.layers.Conv2D(3, 1, dtype=dtype)
    seen = layer(front(inputs))
    if name != "VotingEnsemble":
        seen = keras.layers.Dense(3)(keras.layers.Flatten()(seen))
    model = keras.Model(inputs, seen)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, **compiled)
    if compiled.get("jit_compile"):
        assert model.jit_compile, "Keras leaves the compiler out"
    before = front.get_weights()[0]
    loss = model.train_on_batch(IMAGES, LABELS)
    assert np.isfinite(loss)
    assert (front.get_weights()[0] != before).any(), "nothing was learned"
    alone.compile(**compiled)
    reset(layer)
    made = alone.predict_on_batch(IMAGES)
    if dtype == "float64" and made.dtype != "float64":
        return SINGLE
    return check_pixels(name, alone, array(ops.cast(made, "float32")))


def eager(name):
    {"RandomGridMask": check_given_cells, "VotingEnsemble": check_given_views}.get(
        name, lambda: None
    )()
    return check_model(name, run_eagerly=True)


def check_given_cells():
    """The same cells are the same pixels as the kernels', on every backend."""
    mask = kmd.RandomGridMask(3, fill_value=[0.25, 0.5, 0.75])
    fill = np.array([0.25, 0.5, 0.75], "float32")
    for keep in (KEEP, VIEWS):
        expected = kernels.grid_mask(IMAGES, keep, 3, fill)
        same(array(mask.apply(IMAGES, keep)), expected)


def check_given_views():
    """The same views are the same labels as counted by hand, on every backend."""
    kernel, bias = classifier().get_weights()
    masked = kernels.grid_mask(IMAGES, VIEWS, 3)
    outputs = masked.reshape(5, len(IMAGES), -1).astype("float64") @ kernel + bias
    shares = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
    expected = {
        "majority": np.eye(3)[outputs.argmax(-1)].mean(0),
        "mean": shares.mean(0),
        "geometric": np.log(shares).mean(0),
    }
    for pooling, scores in expected.items():
        layer = kmd.VotingEnsemble(classifier(), kmd.RandomGridMask(3), 5, pooling)
        pooled = array(layer.pool(layer.view_outputs(IMAGES, VIEWS)))
        same(pooled.argmax(-1), scores.argmax(-1))


def graph(name):
    return check_model(name, jit_compile=False)


def compiled(name):
    return check_model(name, jit_compile=True)


def float16(name):
    return check_model(name, "mixed_float16")


def bfloat16(name):
    return check_model(name, "mixed_bfloat16")


def float64(name):
    return check_model(name, "float64")


def saved(name):
    """In this process; test_saving.py loads in another."""
    layer = LAYERS[name]()
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path, safe_mode=True)
        reset(layer), reset(loaded)
        same(model.predict(IMAGES, verbose=0), loaded.predict(IMAGES, verbose=0))
        model.save_weights(Path(folder) / "model.weights.h5")
        other = keras.Sequential([keras.Input(IMAGES.shape[1:]), LAYERS[name]()])
        other.load_weights(Path(folder) / "model.weights.h5")
        reset(layer), reset(other)
        same(model.predict(IMAGES, verbose=0), other.predict(IMAGES, verbose=0))


def exported(name):
    """What the backend exports to, run without Keras; masks that nobody can seed."""
    random = {"seed": None} if name in RANDOM_LAYERS else {}
    layer = LAYERS[name](**random)
    model = keras.Sequential([keras.Input(IMAGES.shape[1:], len(IMAGES)), layer])
    model(IMAGES)  # Keras exports to ONNX what was called
    with tempfile.TemporaryDirectory() as folder:
        run = EXPORTS[BACKEND](model, folder)
        first, *others = [run(IMAGES) for _ in range(6)]
    said = check_pixels(name, model, first)
    if not random:
        return said
    differ = any((first != other).any() for other in others)
    assert differ, "every call draws the same masks"


def to_saved_model(model, folder):
    import tensorflow as tf

    path = f"{folder}/saved_model"
    model.export(path, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(path)
    return lambda images: np.array(loaded.serve(tf.constant(images)))


def to_onnx(model, folder):
    import onnxruntime

    path = f"{folder}/model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    (inputs,) = session.get_inputs()
    return lambda images: session.run(None, {inputs.name: images})[0]


EXPORTS = {
    "tensorflow": to_saved_model,
    "jax": to_saved_model,
    "torch": to_onnx,
}
MODES = {
    "eager": eager,
    "graph": graph,
    "compiled": compiled,
    "mixed_float16": float16,
    "mixed_bfloat16": bfloat16,
    "float64": float64,
    ".keras": saved,
    "export": exported,
}


def cell(check):
    start = time.process_time()
    try:
        found = {"works": True, "said": check() or ""}
    except Exception as error:
        traceback.print_exc()
        found = {"works": False, "said": f"{type(error).__name__}: {error}"[:400]}
    return found | {"seconds": round(time.process_time() - start, 1)}


def losses():
    """As NumPy has them, gradients included by the backends' own tests."""
    x = ops.convert_to_tensor(IMAGES)
    size = IMAGES.sum((1, 2, 3), dtype="float64").mean()
    np.testing.assert_allclose(array(kmd.losses.sparsity(x)), size, rtol=1e-5)
    outputs = IMAGES.reshape(2, 2, -1).astype("float64")
    cosine = (outputs[0] * outputs[1]).sum(-1) / np.prod(
        np.linalg.norm(outputs, axis=-1), axis=0
    )
    loss = array(kmd.losses.semantic(*map(ops.convert_to_tensor, outputs)))
    np.testing.assert_allclose(loss, 1 - cosine.mean(), rtol=1e-4)
    change = ((IMAGES - IMAGES**2).astype("float64") ** 2).sum((1, 2, 3))
    loss = array(kmd.losses.reconstruction(x, x * x))
    np.testing.assert_allclose(loss, np.sqrt(change).mean(), rtol=1e-5)


def alternating():
    """One epoch; the rest is alternating_on_backend.py, which takes minutes."""
    model, masks = classifier(), masker()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    before = masks.get_weights()
    callback = kmd.AlternatingTraining(masks, IMAGES, batch_size=2)
    history = model.fit(IMAGES, LABELS, callbacks=[callback], verbose=0).history
    assert np.isfinite(history["masker_loss"]).all()
    assert any((a != b).any() for a, b in zip(before, masks.get_weights(), strict=True))


def predict():
    """Stopping early changes no label."""
    defended = kmd.VotingEnsemble(classifier(), kmd.RandomGridMask(3, 0.5), 9)
    early, views = kmd.predict(defended, IMAGES, seed=3, return_views=True)
    same(early, kmd.predict(defended, IMAGES, early_exit=False, seed=3))
    assert views.max() <= 9


def certify():
    """Against all masks, counted by hand."""
    mask = kmd.RandomGridMask(5, 0.75, sampling="fixed_count")
    proven = kmd.certify(kmd.VotingEnsemble(classifier(), mask), IMAGES, LABELS)
    kernel, bias = classifier().get_weights()
    kept = [k for k in np.ndindex(2, 2, 2, 2) if sum(k) == 1]
    keep = np.array(kept, bool).reshape(len(kept), 1, 2, 2).repeat(len(IMAGES), 1)
    masked = kernels.grid_mask(IMAGES, keep, 5).reshape(len(kept), len(IMAGES), -1)
    votes = np.eye(3)[(masked @ kernel + bias).argmax(-1)].sum(0)
    tied = np.sort(votes)[:, -1] == np.sort(votes)[:, -2]
    expected = np.where(tied, -1, votes.argmax(-1))
    same(proven["cells", 1].predicted, expected)


def attacked(labels, epsilon=0.1):
    """FGSM on the linear classifier, by hand, and the slopes that it follows."""
    kernel, bias = classifier().get_weights()
    logits = IMAGES.reshape(len(IMAGES), -1).astype("float64") @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    slopes = ((shares - np.eye(3)[labels]) @ kernel.T).reshape(IMAGES.shape)
    return np.clip(IMAGES + epsilon * np.sign(slopes), 0, 1), np.abs(slopes)


def attacks():
    """Where a slope is not lost in float32, the attack goes its way."""
    wrong = (LABELS + 1) % 3  # where the losses are far from 0
    expected, slopes = attacked(wrong)
    made = craft("fgsm", classifier(), IMAGES, wrong, 0.1)
    clear = slopes > 1e-4 * slopes.max((1, 2, 3), keepdims=True)
    assert clear.mean() > 0.95
    np.testing.assert_allclose(made[clear], expected[clear], atol=1e-6)


def evaluate():
    """What the same attack leaves, in every row that it has."""
    kernel, bias = classifier().get_weights()

    def labels_of(images):
        return (images.reshape(len(images), -1) @ kernel + bias).argmax(-1)

    labels = labels_of(IMAGES)
    left = np.mean(labels_of(attacked(labels, 0.03)[0]) == labels)
    attack = [AttackSetting("fgsm", "linf", 0.03)]
    data = IMAGES, labels
    report = run_evaluation(
        classifier(), data, attack, adaptive=attack, sanity_checks=False
    )
    found = [
        score.accuracy
        for row in report.rows
        if row.attack == "fgsm"
        for score in row.scores.values()
    ]
    assert 0 < left < 1 and found == [left] * 2, (left, found)


FUNCTIONS = {
    "losses": losses,
    "AlternatingTraining": alternating,
    "predict": predict,
    "certify": certify,
    "attacks": attacks,
    "evaluate": evaluate,
}


CELLS = {
    f"{name} / {mode}": lambda name=name, check=check: check(name)
    for name in LAYERS
    for mode, check in MODES.items()
} | FUNCTIONS


def table(only):
    """All cells, or those whose name has one of some words in it."""
    return {
        name: cell(check)
        for name, check in CELLS.items()
        if not only or any(word in name for word in only)
    }


if __name__ == "__main__":
    print(json.dumps(table(sys.argv[1:])))
