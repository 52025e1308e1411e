"""Masks in data pipelines: other ones for every element, thread and worker."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_maskdef as kmd
from keras_maskdef import kernels
from keras_maskdef.backend.seeding import reseed

# 128 cells, so that chance repeats no mask.
IMAGES = np.ones((200, 8, 16, 1), "float32")


def masks_of(dataset):
    return [image.tobytes() for image in dataset.as_numpy_iterator()]


def test_a_layer_in_a_parallel_map_repeats_no_mask():
    mask = kmd.RandomGridMask(1, 0.5)
    data = tf.data.Dataset.from_tensor_slices(np.tile(IMAGES, (5, 1, 1, 1)))
    data = data.map(mask, num_parallel_calls=8, deterministic=False)
    masks = masks_of(data)
    assert len(set(masks)) == len(masks)


def test_a_layer_in_a_sequential_map_is_repeatable():
    def masks():
        keras.utils.set_random_seed(1)
        data = tf.data.Dataset.from_tensor_slices(IMAGES[:20])
        return masks_of(data.map(kmd.RandomGridMask(1, 0.5)))

    assert masks() == masks()


@pytest.mark.parametrize(
    "sampling, rate",
    [("bernoulli", (0.3, 0.7)), ("fixed_count", 0.5), ("partition", 0.5)],
)
def test_a_seed_for_each_element_is_repeatable_in_any_order(sampling, rate):
    mask = kmd.RandomGridMask(1, rate, sampling=sampling)

    def masked(image, seed):
        return mask.apply(image, mask.sample(image, seed=seed))

    def epochs():
        seeds = tf.data.Dataset.random(seed=1, rerandomize_each_iteration=True)
        data = tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(IMAGES), seeds)
        data = data.map(masked, num_parallel_calls=8)
        return masks_of(data) + masks_of(data)

    first, second = epochs(), epochs()
    assert first == second
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("seed", [5, np.int64(5), np.uint32(5), tf.constant(5)])
def test_a_given_seed_stands_for_a_generator_of_it(seed):
    mask = kmd.RandomGridMask(1, 0.5, sampling="partition")
    generator = keras.random.SeedGenerator(5)
    expected = mask.sample(IMAGES[:3], views=3, seed=generator)
    np.testing.assert_array_equal(mask.sample(IMAGES[:3], views=3, seed=seed), expected)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_compiled_call_in_another_process_repeats_no_mask(seed):
    mask = kmd.RandomGridMask(1, 0.5, seed=seed)
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), mask])

    def masks():
        return [model.predict_on_batch(IMAGES[:1]).tobytes() for _ in range(3)]

    at_home = masks()
    mask.seed_generator._home = ("another", None)
    model.predict_function = None  # it is traced there
    assert len({*at_home, *masks()}) == 6


def test_what_is_seeded_anew_is_the_same_in_every_process():
    def masks(home):
        mask = kmd.RandomGridMask(1, 0.5)
        mask.seed_generator._home = home
        reseed([mask], 5)
        return np.asarray(mask(IMAGES))

    np.testing.assert_array_equal(masks(("one", None)), masks(("another", None)))


NEIGHBOURS = """
import keras, numpy as np
import keras_maskdef as kmd

images = np.ones((1, 8, 16, 1), "float32")
masks = [
    keras.ops.convert_to_numpy(layer(images)).tobytes()
    for layer in (kmd.RandomGridMask(1, 0.5, seed=seed) for seed in range(5))
    for _ in range(4)
]
assert len(set(masks)) == 20
mask = kmd.RandomGridMask(1, 0.5, sampling="partition", seed=2)
other = kmd.RandomGridMask(1, 0.5, sampling="partition")
same = [np.asarray(x) for x in (mask.sample(images), other.sample(images, seed=2))]
np.testing.assert_array_equal(*same)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_neighbouring_seeds_share_no_mask(backend):
    """As PyTorch's would by Keras' arithmetic, where the number is added to a seed."""
    pytest.importorskip(backend)
    run(NEIGHBOURS, KERAS_BACKEND=backend)


def run(code, *arguments, **environment):
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


# Kernels run here first, in threads of which a forked worker has none.
LOADERS = """
import sys
import keras, numpy as np, torch
from torch.utils.data import DataLoader
import keras_maskdef as kmd
from keras_maskdef import kernels

class Images:
    def __init__(self, masked):
        self.masked = masked
    def __len__(self):
        return 64
    def __getitem__(self, index):
        if index >= 64:
            raise IndexError
        return np.asarray(self.masked(np.ones((8, 16, 1), "float32")))

class ByLayer:
    def __init__(self, seed=None):
        self.layer = kmd.RandomGridMask(1, 0.5, seed=seed)
    def __call__(self, image):
        return keras.ops.convert_to_numpy(self.layer(image))

class ByModel(ByLayer):
    def __init__(self):
        super().__init__()
        self.model = keras.Sequential([keras.Input((8, 16, 1)), self.layer])
    def __call__(self, image):
        return self.model.predict_on_batch(image[None])[0]

class BySeed(ByLayer):
    def __call__(self, image):
        keep = self.layer.sample(image, seed=torch.randint(2**31, ()))
        return keras.ops.convert_to_numpy(self.layer.apply(image, keep))

def by_kernels(image):
    kernels.median(BATCH, 3)
    keep = torch.rand(1, 8, 16).numpy() >= 0.5
    return kernels.grid_mask(image[None], keep, 1)[0]

BATCH = np.zeros((64, 32, 32, 3), "float32")
WAYS = {
    "layer": ByLayer,
    "model": ByModel,
    "seeded": lambda: ByLayer(seed=5),
    "seed": BySeed,
    "kernels": lambda: by_kernels,
}

def masks(make, context):
    keras.utils.set_random_seed(1)
    torch.manual_seed(1)
    loader = DataLoader(
        Images(make()), batch_size=None, num_workers=2, timeout=120,
        multiprocessing_context=context,
    )
    return [image.numpy().tobytes() for image in loader]

if __name__ == "__main__":
    kernels.median(BATCH, 3)
    context, *names = sys.argv[1:]
    for name in names:
        first, second = masks(WAYS[name], context), masks(WAYS[name], context)
        assert len(set(first)) == len(first) == 64, name
        # A layer without a seed that is sent to a new process is secret there.
        is_secret = context == "spawn" and name in ("layer", "model")
        assert (first == second) != is_secret, name
"""


@pytest.fixture
def pytorch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")


def test_forked_workers_of_pytorch(pytorch):
    """Whose generators all are copies of one, and whose kernels have no threads."""
    ways = ["layer", "model", "seeded", "seed", "kernels"]
    run(LOADERS, "fork", *ways, KERAS_BACKEND="torch")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_spawned_workers_of_pytorch(pytorch, tmp_path, backend):
    path = tmp_path / "loaders.py"
    path.write_text(LOADERS)
    ways = ["layer", "model", "seeded", "seed", "kernels"]
    finished = subprocess.run(
        [sys.executable, str(path), "spawn", *ways],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def grain_masks(random_map, workers):
    grain = pytest.importorskip("grain.python")
    data = grain.MapDataset.source(list(IMAGES)).seed(7).random_map(random_map)
    data = data.to_iter_dataset(grain.ReadOptions(num_threads=8))
    if workers:
        data = data.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return [np.asarray(image).tobytes() for image in data]


class ByLayer:
    def __init__(self):
        self.mask = kmd.RandomGridMask(1, 0.5)

    def __call__(self, image, rng):
        keep = self.mask.sample(image, seed=rng.integers(2**31))
        return keras.ops.convert_to_numpy(self.mask.apply(image, keep))


def by_kernels(image, rng):
    keep = rng.random((1, 8, 16)) >= 0.5
    return kernels.grid_mask(image[None], keep, 1)[0]


@pytest.mark.parametrize(
    "workers", [0, pytest.param(2, marks=pytest.mark.slow)], ids=["threads", "workers"]
)
@pytest.mark.parametrize(
    "make", [ByLayer, lambda: by_kernels], ids=["layer", "kernels"]
)
def test_grain(make, workers):
    first, second = grain_masks(make(), workers), grain_masks(make(), workers)
    assert first == second
    assert len(set(first)) == len(first)
