"""Masks and noise without a seed: what they come from, and who could foretell them."""

import copy
import multiprocessing
import os
import pickle
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_maskdef as kmd
from keras_maskdef.backend.seed_generators import SharedSeedGenerator, as_state
from keras_maskdef.backend.seeding import kept_seeds, reseed
from keras_maskdef.baselines import GaussianVote

IMAGES = np.ones((1, 8, 16, 1), "float32")


@pytest.fixture(autouse=True)
def nobody_seeded(monkeypatch):
    """Whatever another test gave to `keras.utils.set_random_seed`."""
    monkeypatch.setattr(
        "keras_maskdef.backend.seed_generators.get_random_seed", lambda: None
    )


def test_every_bit_of_the_key_is_drawn():
    """128 draws: each bit is seen as 0 and as 1, but for a chance of 2^-120."""
    states = [SharedSeedGenerator().state.numpy() for _ in range(128)]
    keys = np.array([state[1] for state in states]).view("uint8").reshape(-1, 8)
    bits = np.unpackbits(keys, axis=1)
    assert bits.shape == (128, 64)
    assert ((bits.mean(axis=0) > 0.2) & (bits.mean(axis=0) < 0.8)).all()


@pytest.mark.parametrize("bit", range(64))
def test_every_bit_of_the_key_counts(bit):
    one, other = SharedSeedGenerator(0), SharedSeedGenerator(0)
    one.state.assign(as_state(7, 0, 2**63 + 1))
    other.state.assign(as_state(7, 0, (2**63 + 1) ^ (1 << bit)))
    assert (one.next().numpy() != other.next().numpy()).all()


@pytest.mark.parametrize("count", [7, 2**31 - 3])
def test_masks_do_not_repeat_after_as_many_as_keras_tells_apart(count):
    """Numbers of seeds that are alike modulo 2^31 - 2."""
    generator, drawn = SharedSeedGenerator(0), []
    for rounds in range(3):
        generator.state.assign(as_state(7, count + rounds * (2**31 - 2), 5))
        drawn.append(tuple(generator.next().numpy()))
    assert len({number for pair in drawn for number in pair}) == 6


def test_the_seeds_of_a_key_are_those_of_before():
    generator = SharedSeedGenerator(0)
    generator.state.assign(as_state(7, 2**31 - 3, 5))
    assert generator.next().numpy().tolist() == [
        -3059649465805493432,
        4393556144652489196,
    ]


@pytest.mark.parametrize("make", [kmd.RandomGridMask, "noise"])
def test_pythons_generator_does_not_decide(make):
    """From which Keras takes its seeds, of which there are 10^9."""

    def drawn():
        random.seed(3)
        if make == "noise":
            network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
            vote = GaussianVote(network, 1.0, votes=1, from_logits=True)
            return np.asarray(vote._noisy(IMAGES)).tobytes()
        return np.asarray(make(1, 0.5)(IMAGES)).tobytes()

    assert drawn() != drawn()


def test_the_seed_of_keras_repeats_the_masks(monkeypatch):
    """As that of every Keras layer, numbers and all."""
    monkeypatch.undo()

    def drawn():
        keras.utils.set_random_seed(3)
        return np.asarray(kmd.RandomGridMask(1, 0.5).sample(IMAGES))

    expected = drawn()
    np.testing.assert_array_equal(drawn(), expected)
    random.seed(3)
    first = kmd.RandomGridMask(1, 0.5, seed=random.randint(1, int(1e9)))
    np.testing.assert_array_equal(first.sample(IMAGES), expected)


def masker():
    return keras.Sequential([keras.Input((8, 16, 1)), kmd.RandomGridMask(1, 0.5)])


def test_no_copy_goes_on_with_the_masks_of_the_model(tmp_path):
    model = masker()
    model.save(tmp_path / "model.keras")
    copies = [
        model,
        copy.deepcopy(model),
        keras.models.clone_model(model),
        pickle.loads(pickle.dumps(model)),  # noqa: S301
        keras.saving.load_model(tmp_path / "model.keras"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ]
    masks = {each.predict_on_batch(IMAGES).tobytes() for each in copies for _ in "12"}
    assert len(masks) == 2 * len(copies)


def test_a_saved_model_says_nothing_of_the_key(tmp_path):
    model = masker()
    key = model.layers[0].seed_generator.state.numpy()[1].tobytes()
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert not [path for path in files if key in path.read_bytes()]


def test_a_graph_that_is_traced_again_goes_on():
    model = masker()
    masks = [model.predict_on_batch(IMAGES).tobytes()]
    model.predict_function = None
    masks += [model.predict_on_batch(IMAGES).tobytes()]
    compiled = tf.function(model, jit_compile=True)
    masks += [compiled(tf.constant(IMAGES)).numpy().tobytes() for _ in range(2)]
    assert len(set(masks)) == 4


def in_child(draw, pipe):
    keras.utils.set_random_seed(7)
    pipe.send(draw())
    pipe.close()


def salts_of_forks(generator, before):
    """What parts the keys of three forked children, that do something before.

    Compiled calls of TensorFlow hang in a forked child.
    """
    salts, context = [], multiprocessing.get_context

    def draw():
        before()
        generator._settle_in()
        return generator._salt

    for _ in range(3):
        ours, theirs = context("fork").Pipe()
        child = context("fork").Process(target=in_child, args=(draw, theirs))
        child.start()
        theirs.close()
        salts.append(ours.recv())
        child.join()
    return salts


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("seed", [None, 5])
def test_forked_children_that_seed_themselves_alike_draw_other_masks(seed):
    generator = kmd.RandomGridMask(1, 0.5, seed=seed).seed_generator
    assert len(set(salts_of_forks(generator, lambda: None))) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("seed", [None, 5])
def test_forked_children_that_evaluate_draw_other_masks_afterwards(seed):
    """An evaluation sets the state of its models, and gives them theirs back."""
    mask = kmd.RandomGridMask(1, 0.5, seed=seed)
    model = keras.Sequential([keras.Input((8, 16, 1)), mask])

    def evaluate():
        with kept_seeds([model]):
            reseed([model], 0)
            assert mask.seed_generator._salt == 0

    salts = salts_of_forks(mask.seed_generator, evaluate)
    assert len({0, *salts}) == 4


@pytest.mark.parametrize("seed", [None, 3])
def test_what_scanners_of_models_warn_of_is_in_no_export(tmp_path, seed):
    mask = kmd.RandomGridMask(1, 0.5, seed=seed)
    model = keras.Sequential([keras.Input((8, 16, 1)), mask])
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    names = {node.op for node in graph.node}
    names |= {node.op for f in graph.library.function for node in f.node_def}
    assert not names & {"ReadFile", "WriteFile", "PrintV2"}
    assert ("TextLineDataset" in names) == (seed is None)
