import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_maskdef as kmd
from keras_maskdef import RandomGridMask, VotingEnsemble, predict
from keras_maskdef.prediction import _Vote

POOLINGS = ("majority", "mean", "geometric")


@pytest.fixture(scope="module")
def digits():
    return kmd.datasets.sample("test").images[:333]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_early_exit_gives_the_labels_of_the_full_vote(classifier, digits, pooling):
    mask = RandomGridMask(7, 0.5)
    ensemble = VotingEnsemble(classifier, mask, votes=7, pooling=pooling)
    full = predict(ensemble, digits, early_exit=False, seed=4)
    labels, views = predict(ensemble, digits, seed=4, return_views=True)
    np.testing.assert_array_equal(labels, full)
    if pooling == "geometric":
        assert (views == 7).all()
    else:
        assert views.min() >= 4
        assert views.mean() < 6


@pytest.mark.parametrize("pooling", POOLINGS)
def test_labels_are_those_of_keras_predict(classifier, digits, pooling):
    """On masks of the same seed, drawn in the same batches."""

    def ensemble():
        return VotingEnsemble(classifier, RandomGridMask(7, seed=6), pooling=pooling)

    outputs = ensemble().predict(digits, batch_size=100, verbose=0)
    labels = predict(ensemble(), digits, batch_size=100)
    np.testing.assert_array_equal(labels, outputs.argmax(-1))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(("majority", "mean")),
    st.integers(1, 6),
    st.integers(2, 4),
    st.integers(0, 2**32 - 1),
)
def test_no_further_view_can_change_a_settled_image(pooling, votes, classes, seed):
    """Whatever the rest votes: against every leader, all for one other class."""
    random = np.random.default_rng(seed)
    mask = RandomGridMask(1)
    layer = keras.layers.Softmax()
    ensemble = VotingEnsemble(layer, mask, votes=votes, pooling=pooling)
    ensemble.compute_output_shape = lambda shape: (shape[0], classes)
    outputs = random.dirichlet(np.full(classes, 0.3), (votes, 20)).astype("float32")
    vote = _Vote(ensemble, (20, 1, 1, 1))
    for seen in range(votes):
        settled = np.setdiff1d(np.arange(20), vote.pending)
        leaders = vote.scores.argmax(-1)
        for rival in range(classes):
            rest = np.tile(np.eye(classes, dtype="float32")[rival], (votes, 20, 1))
            worst = np.concatenate([outputs[:seen], rest[seen:]])
            pooled = np.array(ensemble.pool(worst)).argmax(-1)
            np.testing.assert_array_equal(pooled[settled], leaders[settled])
        vote.add(np.arange(20), np.log(np.maximum(outputs[seen], 1e-38)))
    pooled = np.array(ensemble.pool(outputs)).argmax(-1)
    np.testing.assert_array_equal(vote.labels(), pooled)


def test_seeds(classifier, digits):
    ensemble = VotingEnsemble(classifier, RandomGridMask(7), votes=1)
    first = predict(ensemble, digits, seed=1)
    np.testing.assert_array_equal(predict(ensemble, digits, seed=1), first)
    assert (predict(ensemble, digits, seed=2) != first).any()
    assert (predict(ensemble, digits) != predict(ensemble, digits)).any()


def test_a_model_that_ends_in_a_vote(classifier, digits):
    ensemble = VotingEnsemble(classifier, RandomGridMask(7))
    halve = keras.layers.Rescaling(0.5)
    inputs = keras.Input((28, 28, 1))
    expected = predict(ensemble, 0.5 * digits, seed=3)
    functional = keras.Model(inputs, ensemble(halve(inputs)))
    np.testing.assert_array_equal(predict(functional, digits, seed=3), expected)
    sequential = keras.Sequential([inputs, halve, ensemble])
    np.testing.assert_array_equal(predict(sequential, digits, seed=3), expected)


def test_empty_batch(classifier, digits):
    ensemble = VotingEnsemble(classifier, RandomGridMask(7))
    labels, views = predict(ensemble, digits[:0], return_views=True)
    assert labels.shape == views.shape == (0,)
    assert labels.dtype == views.dtype == np.int64


def test_an_ensemble_that_was_never_called(digits):
    layers = [keras.layers.Flatten(), keras.layers.Dense(4)]
    ensemble = VotingEnsemble(keras.Sequential(layers), RandomGridMask(7))
    assert predict(ensemble, digits[:3]).shape == (3,)


def test_bad_arguments(classifier, digits):
    ensemble = VotingEnsemble(classifier, RandomGridMask(7))
    with pytest.raises(TypeError, match="`defended` must be a VotingEnsemble or"):
        predict(classifier, digits)
    with pytest.raises(ValueError, match=r"`x` must have four axes.*\(28, 28, 1\)"):
        predict(ensemble, digits[0])
    with pytest.raises(TypeError, match="images.dtype=uint8"):
        predict(ensemble, digits.astype("uint8"))
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        predict(ensemble, digits, batch_size=0)
