"""Exported models, run by processes that have neither Keras nor this library.

All layers are outputs of one model, so that each format is exported once.
"""

import importlib.util
import itertools
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_maskdef as kmd
from keras_maskdef.backend.seed_generators import SharedSeedGenerator
from keras_maskdef.baselines import GaussianVote
from keras_maskdef.inspection.structure import split_vote

IMAGES = np.random.default_rng(0).uniform(0.1, 1, (4, 8, 8, 1)).astype("float32")
# Calls of each of two processes.
CALLS = 4
POOLINGS = ("majority", "mean", "geometric")
SAMPLINGS = ("bernoulli", "fixed_count", "partition")

LOADERS = {
    "saved_model": """
import tensorflow as tf
loaded = tf.saved_model.load(path)
def call(x):
    return {name: y.numpy() for name, y in loaded.serve(x).items()}
""",
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession(path)
def call(x):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: x})))
""",
    "litert": """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(path)
index = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(index, x.shape)
runner = interpreter.get_signature_runner()
(name,) = runner.get_input_details()
def call(x):
    return runner(**{name: x})
""",
}
NEEDS = {"saved_model": "tensorflow", "onnx": "tf2onnx", "litert": "ai_edge_litert"}
RUNTIMES = {**NEEDS, "onnx": "onnxruntime"}
SUFFIXES = {"saved_model": "", "onnx": ".onnx", "litert": ".tflite"}
REPORT = """
calls = [call(x) for _ in range({calls})]
named = ((f"{{n}}/{{i}}", y) for i, c in enumerate(calls) for n, y in c.items())
np.savez(target, **dict(named))
"""


class Noise(keras.layers.Layer):
    """The noise of a Gaussian vote, without its votes."""

    def __init__(self, seed=None):
        super().__init__()
        classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
        self.vote = GaussianVote(classifier, 0.5, votes=1, from_logits=True, seed=seed)

    def build(self, shape):
        self.vote.build(shape)

    def call(self, images):
        return self.vote._noisy(images)


def layers():
    """Every layer, masks of every kind, and a whole defence with every pooling."""
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    made = {f"mask_{s}": kmd.RandomGridMask(2, 0.5, 0.05, s) for s in SAMPLINGS}
    return {
        **made,
        "mask_of_rates": kmd.RandomGridMask(2, (0.4, 0.6), 0.05),
        "mask_cut": kmd.RandomGridMask(3, 0.5, 0.05),
        "mask_seeded": kmd.RandomGridMask(1, 0.5, 0.05, seed=5),
        "noise": Noise(),
        "noise_seeded": Noise(seed=5),
        "bits": kmd.BitDepthReduction(3),
        "median": kmd.MedianFilter(2),
        "means": kmd.NonLocalMeans(4, 1, 3),
        "masker": kmd.SparseFeatureMasker(network),
        **{f"vote_{pooling}": defence(pooling) for pooling in POOLINGS},
    }


def defence(pooling):
    """A vote on four cells, of which all results can be listed; one behind a front."""
    classifier = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, kernel_initializer="random_normal"),
        ]
    )
    masker, filters = None, []
    if pooling == "geometric":
        masker = kmd.SparseFeatureMasker(
            keras.Sequential(
                [
                    keras.Input((8, 8, 1)),
                    keras.layers.Conv2D(1, 1, activation="sigmoid"),
                ]
            )
        )
        filters = [kmd.BitDepthReduction(5), kmd.MedianFilter(2)]
    mask = kmd.RandomGridMask(4, 0.5, sampling="partition")
    voting = {"mask": mask, "votes": 2, "pooling": pooling}
    defended = kmd.defend(classifier, masker, filters, voting)
    defended.name = pooling
    return defended


@pytest.fixture(scope="module")
def parts():
    # That of a user's script, which no export may take over.
    keras.utils.set_random_seed(0)
    return layers()


@pytest.fixture(scope="module")
def model(parts):
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, {name: part(inputs) for name, part in parts.items()})


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """A function from a format to what two processes got from it, call by call."""
    folder = tmp_path_factory.mktemp("exported")
    np.save(folder / "x.npy", IMAGES)
    answers = {}

    def of(kind):
        for module in (NEEDS[kind], RUNTIMES[kind]):
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{module} is not installed")
        if kind not in answers:
            path = folder / f"{kind}{SUFFIXES[kind]}"
            name = "tf_saved_model" if kind == "saved_model" else kind
            with warnings.catch_warnings():
                # Keras 3.15 looks whether NumPy has an `object`, for tf2onnx.
                warnings.filterwarnings("ignore", "In the future", FutureWarning)
                warnings.filterwarnings("ignore", ".* fresh, not secret", UserWarning)
                model.export(path, format=name, verbose=False)
            answers[kind] = run_twice(kind, path)
        return answers[kind]

    return of


def run_twice(kind, path):
    folder, targets = path.parent, [f"{path}-{i}.npz" for i in range(2)]
    code = (
        # TensorFlow imports Keras where it can.
        "import sys\nfor module in ('keras', 'keras_maskdef', 'numba'):\n"
        "    sys.modules[module] = None\n"
        "import numpy as np\n"
        f"path, target = {str(path)!r}, sys.argv[1]\n"
        f"x = np.load({str(folder / 'x.npy')!r})\n"
        f"{LOADERS[kind]}{REPORT.format(calls=CALLS)}"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, target], stderr=subprocess.PIPE)
        for target in targets
    ]
    errors = [process.communicate()[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    loaded = [np.load(target) for target in targets]
    names = {key.partition("/")[0] for key in loaded[0]}
    return {
        name: np.array(
            [[calls[f"{name}/{i}"] for i in range(CALLS)] for calls in loaded]
        )
        for name in names
    }


formats = pytest.mark.parametrize("kind", LOADERS)


@formats
@pytest.mark.parametrize("name", ["bits", "median", "means"])
def test_filters_give_the_same_pixels(exported, model, kind, name):
    expected = model(IMAGES)[name].numpy()
    for result in exported(kind)[name].reshape(-1, *IMAGES.shape):
        np.testing.assert_array_equal(result, expected)


@formats
def test_maskers_give_the_same_mask(exported, model, kind):
    expected = model(IMAGES)["masker"].numpy()
    for result in exported(kind)["masker"].reshape(-1, *IMAGES.shape):
        np.testing.assert_allclose(result, expected, atol=1e-6)


@formats
@pytest.mark.parametrize(
    "name, cell",
    [*((f"mask_{s}", 2) for s in SAMPLINGS), ("mask_of_rates", 2), ("mask_cut", 3)],
)
def test_masks_hide_cells(exported, kind, name, cell):
    results = exported(kind)[name].reshape(-1, *IMAGES.shape)
    visible = results == IMAGES
    assert (results[~visible] == np.float32(0.05)).all()
    corners = visible[:, :, ::cell, ::cell]
    spread = corners.repeat(cell, 2).repeat(cell, 3)[:, :, :8, :8]
    np.testing.assert_array_equal(visible, spread)
    if name in ("mask_fixed_count", "mask_partition"):
        assert (corners.sum((2, 3)) == 8).all()
    assert 0.4 < corners.mean() < 0.6


@formats
@pytest.mark.parametrize("name", [f"mask_{s}" for s in SAMPLINGS])
def test_masks_without_a_seed_are_fresh(exported, kind, name):
    """In every call of every process, and for every image."""
    results = exported(kind)[name].reshape(-1, 8, 8)
    masks = {(mask == np.float32(0.05)).tobytes() for mask in results}
    # Of 16 cells, 32 draws: three equal pairs have a chance below 1e-5.
    assert len(masks) >= len(results) - 2


@formats
def test_noise_without_a_seed_is_fresh(exported, kind):
    noise = exported(kind)["noise"].reshape(2 * CALLS, *IMAGES.shape) - IMAGES
    assert len({image.tobytes() for call in noise for image in call}) == 8 * CALLS
    # Of 2,048 numbers: 4 standard errors.
    assert abs(noise.mean()) < 0.045
    assert abs(noise.std() - 0.5) < 0.032


@formats
@pytest.mark.parametrize("name", ["mask_seeded", "noise_seeded"])
def test_a_seed_starts_over_with_every_load(exported, kind, name):
    first, second = exported(kind)[name]
    np.testing.assert_array_equal(first, second)
    assert len({call.tobytes() for call in first}) == CALLS


def test_masks_with_a_seed_go_on_as_in_keras(exported, model):
    """In a SavedModel, from where the model was when it was exported."""
    results = exported("saved_model")["mask_seeded"][0]
    layer = kmd.RandomGridMask(1, 0.5, 0.05, seed=5)
    drawn = [layer(IMAGES).numpy() for _ in range(30)]
    start = [(d == results[0]).all() for d in drawn].index(True)
    np.testing.assert_array_equal(results, drawn[start : start + CALLS])


@formats
@pytest.mark.parametrize("pooling", POOLINGS)
def test_votes_are_votes_of_masked_views(exported, parts, kind, pooling):
    """Four cells have six partitions: every answer is that of one of them."""
    front, vote = split_vote(parts[f"vote_{pooling}"])
    seen = IMAGES if front is None else front(IMAGES)
    possible = []
    for pair in itertools.combinations(range(4), 2):
        keep = np.isin(np.arange(4), pair)
        views = np.stack([keep, ~keep]).reshape(2, 1, 2, 2).repeat(len(IMAGES), 1)
        possible.append(vote.pool(vote.view_outputs(seen, views)).numpy())
    answers = exported(kind)[f"vote_{pooling}"].reshape(-1, *possible[0].shape)
    for image in range(len(IMAGES)):
        rows = answers[:, None, image] - np.array(possible)[None, :, image]
        assert (np.abs(rows).max(-1).min(1) < 1e-3).all()
    assert len({answer.round(3).tobytes() for answer in answers}) > 1


@formats
@pytest.mark.parametrize("seed", [None, 5])
def test_it_is_told_where_masks_are_fresh_and_not_secret(tmp_path, kind, seed):
    pytest.importorskip(NEEDS[kind])
    mask = kmd.RandomGridMask(2, 0.5, seed=seed)
    model = keras.Sequential([keras.Input((8, 8, 1)), mask])
    model(IMAGES)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        name = "tf_saved_model" if kind == "saved_model" else kind
        model.export(tmp_path / f"x{SUFFIXES[kind]}", format=name, verbose=False)
    said = [str(each.message) for each in caught if "secret" in str(each.message)]
    assert bool(said) == (seed is None and kind != "saved_model")
    assert all(f'format="{kind}" are fresh, not secret' in text for text in said)


@formats
def test_images_that_are_too_small_are_refused(tmp_path, kind):
    """By a model of any size; what runs it has no words but an operation's name."""
    for module in (NEEDS[kind], RUNTIMES[kind]):
        pytest.importorskip(module)
    classifier = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    mask = kmd.RandomGridMask(4, 0.75, sampling="partition")
    vote = kmd.VotingEnsemble(keras.Sequential(classifier), mask, 4, "mean")
    for layer in (kmd.RandomGridMask(5), kmd.MedianFilter(5), vote):
        inputs, path = keras.Input((None, None, 1)), tmp_path / layer.name
        model = keras.Model(inputs, {"y": layer(inputs)})
        model(IMAGES)  # Keras 3.15 exports no other to ONNX
        path = f"{path}{SUFFIXES[kind]}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "In the future", FutureWarning)
            warnings.filterwarnings("ignore", ".* fresh, not secret", UserWarning)
            name = "tf_saved_model" if kind == "saved_model" else kind
            model.export(path, format=name, verbose=False)
        for images, fit in ((IMAGES, True), (IMAGES[:, :4, :4], False)):
            loaded = {"path": path, "x": images}
            exec(LOADERS[kind], loaded)
            try:
                loaded["call"](images)
            except Exception:
                assert not fit
            else:
                assert fit


def in_threads(call, threads=8, calls=50):
    """The results of many threads that call the same at once."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda _: call(), range(threads * calls)))


def test_seeds_are_those_of_keras():
    own, theirs = SharedSeedGenerator(7), keras.random.SeedGenerator(7)
    for _ in range(3):
        np.testing.assert_array_equal(own.next(), theirs.next())


@pytest.mark.parametrize("way", ["eager", "graph", "xla", "predict"])
def test_no_two_threads_draw_the_same_mask(way):
    """128 cells, so that chance repeats none."""
    mask, images = kmd.RandomGridMask(1, 0.5), np.ones((1, 8, 16, 1), "float32")
    model = keras.Sequential([keras.Input((8, 16, 1)), mask])
    call = {
        "eager": lambda: mask(images),
        "graph": tf.function(lambda: mask(images)),
        "xla": tf.function(lambda: mask(images), jit_compile=True),
        "predict": lambda: model.predict_on_batch(images),
    }[way]
    call()
    masks = [np.asarray(result).tobytes() for result in in_threads(call)]
    assert len(set(masks)) == len(masks)


@pytest.mark.parametrize("seed", [None, 3])
def test_no_two_threads_get_the_same_mask_from_a_saved_model(tmp_path, seed):
    mask = kmd.RandomGridMask(1, 0.5, seed=seed)
    model = keras.Sequential([keras.Input((8, 16, 1)), mask])
    model.export(tmp_path / "mask", verbose=False)
    loaded, images = tf.saved_model.load(tmp_path / "mask"), tf.ones((1, 8, 16, 1))
    results = in_threads(lambda: loaded.serve(images).numpy().tobytes(), calls=100)
    assert len(set(results)) == len(results)


def test_a_model_saved_by_tensorflow_draws_fresh_masks_as_well(tmp_path):
    """Two loads, which for variables are as good as two processes."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8, 16, 1)), kmd.RandomGridMask(1, 0.5)])
    tf.saved_model.save(model, tmp_path / "saved")
    images = tf.ones((1, 8, 16, 1))
    masks = set()
    for _ in range(2):
        signature = tf.saved_model.load(tmp_path / "saved").signatures
        (result,) = signature["serving_default"](images).values()
        masks.add(result.numpy().tobytes())
    assert len(masks) == 2


def test_xla_refuses_masks_without_a_seed(tmp_path):
    """It would else begin with the same numbers after every load."""
    mask = kmd.RandomGridMask(1, 0.5)
    model = keras.Sequential([keras.Input((8, 16, 1)), mask])
    model.export(tmp_path / "mask", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "mask")
    with pytest.raises(tf.errors.InvalidArgumentError, match="unsupported operations"):
        tf.function(loaded.serve, jit_compile=True)(tf.ones((1, 8, 16, 1)))


def test_an_export_leaves_the_models_own_masks_alone(tmp_path):
    mask = kmd.RandomGridMask(1, 0.5, seed=4)
    model = keras.Sequential([keras.Input((8, 8, 1)), mask])
    model.export(tmp_path / "mask", verbose=False)
    here = kmd.RandomGridMask(1, 0.5, seed=4)
    np.testing.assert_array_equal(model(IMAGES), here(IMAGES))


ELSEWHERE = """
import sys
import keras
import keras_maskdef as kmd
def model(*layers):
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])
path = sys.argv[1]
for kind in sys.argv[2:]:
    for mask in (kmd.RandomGridMask(2, 0.5), kmd.RandomGridMask(2, 0.5, seed=1)):
        if kind == "tf_saved_model" and mask.seed is not None:
            continue
        try:
            model(mask).export(path + ".pt2", format=kind, verbose=False)
        except Exception as error:
            assert "export it with KERAS_BACKEND=tensorflow" in str(error), error
        else:
            raise AssertionError((kind, mask.seed))
    model(kmd.BitDepthReduction(3)).export(path + ".pt2", format=kind, verbose=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, kinds", [("jax", ["tf_saved_model"]), ("torch", ["torch"])]
)
def test_other_backends_refuse_masks_that_would_replay(tmp_path, backend, kinds):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    finished = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "model"), *kinds],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
