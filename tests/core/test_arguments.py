"""Arguments and inputs of every kind that a user of NumPy, Keras or tf.data has."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_maskdef as kmd
from keras_maskdef.baselines import GaussianVote, Parseval
from keras_maskdef.evaluation import AttackSetting, evaluate
from keras_maskdef.evaluation.matched import match_strength

X = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
Y = np.arange(4) % 3


def classifier():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )


def masker(**arguments):
    network = keras.layers.Conv2D(1, 1, activation="sigmoid")
    return kmd.SparseFeatureMasker(network, **arguments)


def vote(**arguments):
    return kmd.VotingEnsemble(classifier(), kmd.RandomGridMask(2), **arguments)


def training(**arguments):
    return kmd.AlternatingTraining(masker(), X, **arguments)


INTEGERS = [
    (kmd.RandomGridMask, "cell_size", {}),
    (kmd.RandomGridMask, "seed", {"cell_size": 2}),
    (kmd.BitDepthReduction, "bits", {}),
    (kmd.MedianFilter, "size", {}),
    (kmd.NonLocalMeans, "patch_size", {"strength": 4}),
    (kmd.NonLocalMeans, "search_size", {"strength": 4}),
    (vote, "votes", {}),
    (vote, "votes_per_pass", {}),
    (lambda **a: GaussianVote(classifier(), 0.1, **a), "votes", {}),
    (lambda **a: GaussianVote(classifier(), 0.1, **a), "votes_per_pass", {}),
    (lambda **a: GaussianVote(classifier(), 0.1, **a), "seed", {}),
    (training, "pretraining_epochs", {}),
    (training, "steps_per_epoch", {}),
    (training, "batch_size", {}),
    (training, "seed", {}),
]
NUMBERS = [
    (kmd.RandomGridMask, "mask_rate", {"cell_size": 2}),
    (kmd.RandomGridMask, "fill_value", {"cell_size": 2}),
    (kmd.NonLocalMeans, "strength", {}),
    (lambda **a: GaussianVote(classifier(), **a), "stddev", {}),
    (Parseval, "beta", {}),
    (training, "sparsity_weight", {}),
    (training, "semantic_weight", {}),
    (training, "reconstruction_weight", {}),
    (training, "rho", {}),
]
PAIRS = [
    (kmd.RandomGridMask, "mask_rate", {"cell_size": 2}),
    (kmd.BitDepthReduction, "value_range", {"bits": 3}),
    (kmd.NonLocalMeans, "value_range", {"strength": 4}),
    (masker, "value_range", {}),
]
NO_NUMBERS = [True, False, np.True_, "3", b"3", 3 + 0j, [[3]], {}, np.array([True])]


def named(cases):
    return pytest.mark.parametrize(
        "build, name, others", cases, ids=[case[1] for case in cases]
    )


def check_kept(made, name, expected):
    """By the config, which is JSON, and makes the same again."""
    config = made.get_config()
    text = json.dumps(config[name])
    assert text == json.dumps(expected)
    json.dumps(config)


@named(INTEGERS)
def test_integers_of_numpy(build, name, others):
    kinds = [np.dtype(code).type for code in "bBhHiIlLqQ"]
    for value in (*(kind(3) for kind in kinds), np.array(3), tf.constant(3)):
        check_kept(build(**{name: value}, **others), name, 3)
    for value in (*NO_NUMBERS, 3.0, np.float32(3), np.array(3.0), np.array([3])):
        with pytest.raises(ValueError, match=rf"`{name}` must be.*Received: {name}="):
            build(**{name: value}, **others)


@named(NUMBERS)
def test_numbers_of_numpy(build, name, others):
    kinds = (np.float16, np.float32, np.float64, np.longdouble)
    for value in (*(kind(0.5) for kind in kinds), np.array(0.5), tf.constant(0.5)):
        check_kept(build(**{name: value}, **others), name, 0.5)
    if name != "beta":  # between 0 and 1
        for value in (1, np.int64(1), np.uint8(1), np.array(1)):
            check_kept(build(**{name: value}, **others), name, 1.0)
    for value in (*NO_NUMBERS, np.nan, np.float32(np.inf)):
        if name == "fill_value" and isinstance(value, list):
            continue
        with pytest.raises(ValueError, match=rf"`{name}` must be.*Received: {name}="):
            build(**{name: value}, **others)


@named(PAIRS)
def test_pairs_of_numbers_of_numpy(build, name, others):
    for kind in (np.float32, np.float64):
        for pair in ((kind(0), kind(1)), np.array([0, 1], kind), [0, np.int64(1)]):
            check_kept(build(**{name: pair}, **others), name, [0.0, 1.0])
    for pair in ((False, True), np.array([False, True]), "01", (0, "1"), (0, 1, 2)):
        with pytest.raises(ValueError, match=rf"`{name}` must be.*Received: {name}="):
            build(**{name: pair}, **others)


def test_a_seed_is_the_same_of_numpy():
    first, second = (kmd.RandomGridMask(1, 0.5, seed=s)(X) for s in (3, np.int64(3)))
    np.testing.assert_array_equal(first, second)
    mask = kmd.RandomGridMask(1, 0.5)
    for seed in (True, np.True_, -1, 2**32, 3.0, np.float32(3)):
        with pytest.raises(ValueError, match=r"`seed` must be.*Received: seed="):
            mask.sample(X, seed=seed)


LAYERS = {
    "mask": lambda: kmd.RandomGridMask(2, 0.5, seed=1),
    "bits": lambda: kmd.BitDepthReduction(3),
    "median": lambda: kmd.MedianFilter(3),
    "means": lambda: kmd.NonLocalMeans(4, 3, 5),
    "masker": masker,
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_dictionaries_as_keras_augmentations_take_them(make):
    """Eagerly, in a model, a pipeline and a map, one after the other."""
    flip, layer = keras.layers.RandomFlip(seed=1), make()
    batch = {"images": X, "labels": Y, "name": np.array(["a"] * 4)}
    made = layer(batch)
    assert set(made) == set(batch)
    np.testing.assert_array_equal(made["images"], make_equal(layer, make)(X))
    assert made["labels"] is Y and made["name"] is batch["name"]
    assert batch["images"] is X

    both = keras.layers.Pipeline([flip, layer])
    made = both({"images": X, "labels": Y})
    assert made["images"].shape == X.shape
    np.testing.assert_array_equal(made["labels"], Y)

    data = tf.data.Dataset.from_tensor_slices(batch).batch(2).map(layer)
    found = list(data.as_numpy_iterator())
    assert [len(each["images"]) for each in found] == [2, 2]
    np.testing.assert_array_equal(np.concatenate([f["labels"] for f in found]), Y)

    inputs = {"images": keras.Input((8, 8, 3), name="images")}
    inputs["labels"] = keras.Input((), name="labels")
    model = keras.Model(inputs, layer(inputs))
    found = model.predict({"images": X, "labels": Y}, verbose=0)
    assert found["images"].shape == X.shape
    np.testing.assert_array_equal(found["labels"], Y)


def make_equal(layer, make):
    """Another of the same weights, at its first draw."""
    other = make()
    if layer.weights:
        other(X)
        other.set_weights(layer.get_weights())
    return other if isinstance(layer, kmd.RandomGridMask) else layer


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_what_holds_no_images(make):
    layer = make()
    with pytest.raises(ValueError, match=r'`images` must have the key "images".*Rec'):
        layer({"image": X})
    with pytest.raises(TypeError, match=r"`images` must be a tensor.*Received"):
        layer(tf.data.Dataset.from_tensors(X))
    with pytest.raises(TypeError, match=r"`images` must be floating point.*Received"):
        layer({"images": X.astype("uint8")})


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return X, Y


def torch_loader():
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(pairs, batch_size=1)


ONE_HOT = np.eye(3, dtype="float32")[Y]
DATASETS = {
    "batches": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(1),
    "images": lambda: tf.data.Dataset.from_tensor_slices((X, Y)),
    "columns": lambda: tf.data.Dataset.from_tensors((X, Y[:, None])),
    "one-hot": lambda: tf.data.Dataset.from_tensors((X, ONE_HOT)),
    "weighted": lambda: tf.data.Dataset.from_tensors((X, Y, np.ones(len(Y)))),
    "PyDataset": Batches,
    "DataLoader": torch_loader,
}
NO_DATA = [
    (lambda: tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(2), "an end"),
    (lambda: tf.data.Dataset.from_tensors({"images": X, "labels": Y}), "dictionaries"),
    (lambda: tf.data.Dataset.from_tensors((X,)), "the labels as well"),
    (lambda: tf.data.Dataset.from_tensors((X, X)), "labels of .* must be integers"),
    (lambda: tf.data.Dataset.from_tensors((X, Y)).take(0), "at least one image"),
    (lambda: {"images": X, "labels": Y}, "must be arrays"),
    (lambda: iter([(X, Y)]), "iterable more than once"),
    (lambda: None, "must be arrays"),
]


@pytest.mark.parametrize("made", DATASETS.values(), ids=DATASETS)
def test_datasets_are_measured_as_arrays_are(made):
    attack = AttackSetting("fgsm", "linf", 0.1)
    keras.utils.set_random_seed(0)
    defended = vote()
    options = {"eot_samples": (1,), "sanity_checks": False}
    results = [
        [row.scores for row in evaluate(defended, data, [attack], **options).rows]
        for data in ((X, Y), made())
    ]
    assert results[0] == results[1]
    loaded = kmd.datasets.load(made())
    np.testing.assert_array_equal(loaded.images, X)
    np.testing.assert_array_equal(loaded.labels, Y)


@pytest.mark.parametrize("made, message", NO_DATA, ids=[each[1] for each in NO_DATA])
def test_what_is_no_data_says_so(made, message):
    attack = AttackSetting("fgsm", "linf", 0.1)
    for call in (
        lambda: evaluate(vote(), made(), [attack]),
        lambda: match_strength(classifier(), made(), attack, 0.5),
    ):
        with pytest.raises((TypeError, ValueError), match=f"{message}.*Received: "):
            call()


def test_certify_takes_datasets():
    mask = kmd.RandomGridMask(4, 0.75, sampling="fixed_count")
    defended = kmd.VotingEnsemble(classifier(), mask)
    arrays, batches = kmd.certify(defended, X, Y), kmd.certify(defended, Batches())
    assert arrays.labels.tolist() == batches.labels.tolist()
    for one, other in zip(arrays.certificates, batches.certificates, strict=True):
        np.testing.assert_array_equal(one.certified, other.certified)
    with pytest.raises(ValueError, match="`labels` must be left out with a dataset"):
        kmd.certify(defended, Batches(), Y)


@pytest.mark.parametrize("data", [{"images": X}, iter([X]), None])
def test_what_takes_images_alone_says_so(data):
    with pytest.raises(TypeError, match=r"`images` must be an array.*Received: images"):
        kmd.certify(vote(), data)
    with pytest.raises(TypeError, match=r"`x` must be an array.*Received: x"):
        kmd.predict(vote(), data)


ON_A_BACKEND = """
import keras, numpy as np
import keras_maskdef as kmd

images = np.random.default_rng(0).random((2, 4, 6, 1)).astype("float32")
labels = np.arange(2)
network = keras.layers.Conv2D(1, 1, activation="sigmoid")
for layer in (
    kmd.RandomGridMask(2, 0.5),
    kmd.MedianFilter(3),
    kmd.BitDepthReduction(3),
    kmd.NonLocalMeans(4, 3, 5),
    kmd.SparseFeatureMasker(network),
):
    made = layer({"images": images, "labels": labels})
    assert tuple(made["images"].shape) == images.shape and made["labels"] is labels

first, second = (
    keras.ops.convert_to_numpy(kmd.RandomGridMask(1, 0.5, seed=seed)(images))
    for seed in (3, np.int64(3))
)
np.testing.assert_array_equal(first, second)

def said(call, *arguments):
    try:
        call(*arguments)
    except ValueError as error:
        return str(error)
    raise AssertionError("no error")

for seed in (True, 2**63, -(2**63) - 1):
    assert "`seed` must be" in said(kmd.RandomGridMask, 2, 0.5, 0.0, "bernoulli",
                                    "always", seed)

classifier = keras.Sequential(
    [keras.Input((None, None, 1)), keras.layers.GlobalAveragePooling2D(),
     keras.layers.Dense(3)]
)
def mask():
    return kmd.RandomGridMask(4, 0.75, sampling="partition")

for layer, problem in (
    (kmd.RandomGridMask(5), "`cell_size` must be at most"),
    (mask(), "4 groups of cells here, but there are 2 cells"),
    (kmd.MedianFilter(5), "`size` must be at most"),
    (kmd.VotingEnsemble(classifier, mask(), 4, "mean"), "4 groups of cells here"),
):
    assert problem in said(layer, images)
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, layer(inputs))
    assert problem in said(lambda: model.predict(images, verbose=0)), problem
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_on_every_backend(backend):
    """Also of what a model compiles that knows no sizes."""
    pytest.importorskip(backend)
    finished = subprocess.run(
        [sys.executable, "-c", ON_A_BACKEND],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
