import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from layer_check import check_layer

from keras_maskdef import RandomGridMask

SAMPLINGS = ("bernoulli", "fixed_count", "partition")


def brute_force(images, keep, cell_size, fill):
    """One pixel at a time."""
    out = np.empty_like(images)
    for place in np.ndindex(images.shape):
        b, y, x, c = place
        visible = keep[b, y // cell_size, x // cell_size]
        out[place] = images[place] if visible else fill[c]
    return out


def ones(*shape):
    return np.ones(shape, "float32")


def test_layer_check():
    arguments = {
        "cell_size": 3,
        "mask_rate": 0.5,
        "fill_value": (0.1, 0.2, 0.3),
        "sampling": "partition",
        "active": "training",
        "seed": 7,
        "data_format": "channels_last",
    }
    check_layer(RandomGridMask, arguments, (7, 8, 3))


def test_hand_made_mask_gives_exact_pixels():
    images = np.arange(1, 17, dtype="float32").reshape(1, 4, 4, 1)
    mask = RandomGridMask(2, fill_value=-1)
    masked = mask.apply(images, [[[True, False], [False, True]]])
    expected = [[1, 2, -1, -1], [5, 6, -1, -1], [-1, -1, 11, 12], [-1, -1, 15, 16]]
    np.testing.assert_array_equal(masked[0, ..., 0], expected)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(1, n) for n in (3, 13, 13, 4)]),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_apply_equals_brute_force(shape, cell_size, seed, channels_first):
    cell_size = min(cell_size, *shape[1:3])
    random = np.random.default_rng(seed)
    images = random.standard_normal(shape).astype("float32")
    rows, columns = (-(-side // cell_size) for side in shape[1:3])
    keep = random.random((2, shape[0], rows, columns)) < 0.5
    fill = tuple(random.random(shape[3]).astype("float32").tolist())
    expected = np.stack([brute_force(images, k, cell_size, fill) for k in keep])
    if channels_first:
        images, expected = np.moveaxis(images, -1, 1), np.moveaxis(expected, -1, 2)
    mask = RandomGridMask(
        cell_size,
        fill_value=fill,
        data_format="channels_first" if channels_first else "channels_last",
    )
    np.testing.assert_array_equal(mask.apply(images, keep), expected)
    np.testing.assert_array_equal(mask.apply(images, keep[0]), expected[0])
    np.testing.assert_array_equal(mask.apply(images[0], keep[0, 0]), expected[0, 0])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 12),
    st.integers(2, 12),
    st.integers(1, 2),
    st.integers(0, 4),
    st.integers(0, 2**31 - 1),
)
def test_partition_views_are_disjoint_and_complete(h, w, cell, groups, seed):
    """Rates 0, 1/2, 2/3, 3/4 and, for 0 groups, 1."""
    cells = -(-h // cell) * -(-w // cell)
    groups = min(groups, cells)
    rate = 1.0 - 1.0 / groups if groups else 1.0
    mask = RandomGridMask(cell, rate, sampling="partition", seed=seed)
    keep = np.array(mask.sample(ones(3, h, w, 1), views=2 * (groups or 1) + 1))
    if not groups:
        assert not keep.any()
        return
    for split in (keep[:groups], keep[groups : 2 * groups]):
        assert (split.sum(0) == 1).all()
        sizes = split.sum((2, 3))
        assert sizes.max() - sizes.min() <= 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(3, 20),
    st.integers(1, 3),
    st.floats(0, 1),
    st.integers(0, 2**31 - 1),
)
def test_fixed_count_hides_the_same_number(size, cell, rate, seed):
    mask = RandomGridMask(cell, rate, sampling="fixed_count", seed=seed)
    keep = np.array(mask.sample(ones(4, size, size, 1), views=3))
    cells = (-(-size // cell)) ** 2
    hidden = cells - keep.sum((2, 3))
    assert (hidden == hidden[0, 0]).all()
    # Ties round to even; float32 may see a tie where float64 sees none.
    assert abs(hidden[0, 0] - rate * cells) <= 0.5 + 1e-5 * cells


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.sampled_from(SAMPLINGS), st.integers(0, 2**31 - 1))
def test_one_mask_for_all_channels_and_one_per_image(rate, sampling, seed):
    if sampling == "partition":
        rate = 1 - 1 / (1 + round(15 * rate))
    mask = RandomGridMask(2, rate, sampling=sampling, seed=seed)
    masked = np.array(mask(ones(5, 8, 8, 3)))
    assert (masked == masked[..., :1]).all()
    assert set(np.unique(masked)) <= {0.0, 1.0}
    if 0.2 < rate < 0.8:
        assert not (masked == masked[:1]).all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_cell_is_hidden_at_the_rate(sampling):
    """5 standard deviations of a binomial, per cell and in all; 9 uneven cells."""
    draws, rate = 20_000, 0.75
    mask = RandomGridMask(2, rate, sampling=sampling, seed=1)
    keep = np.array(mask.sample(ones(draws, 5, 5, 1)))
    shown = 2 / 9 if sampling == "fixed_count" else 1 - rate
    bound = 5 * np.sqrt(shown * (1 - shown) / draws)
    assert np.abs(keep.mean(0) - shown).max() < bound


def test_bernoulli_cells_are_independent():
    """Correlations of all pairs of cells, within and between views and images."""
    draws = 20_000
    keep = np.array(RandomGridMask(2, 0.5, seed=2).sample(ones(draws, 4, 4, 1), 2))
    columns = np.moveaxis(keep, 1, 0).reshape(draws, 8)
    shifted = np.concatenate([columns[1:], columns[:-1]], axis=1)
    for table in (columns, shifted):
        correlation = np.corrcoef(table.T) - np.eye(table.shape[1])
        correlation = correlation[:, :8] if table is columns else correlation[:8, 8:]
        assert np.abs(np.triu(correlation, 1)).max() < 5 / np.sqrt(draws)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("rate", "share"), [(0, 1.0), (1, 0.0)])
def test_rates_zero_and_one(sampling, rate, share):
    masked = RandomGridMask(2, rate, sampling=sampling)(ones(2, 4, 4, 1))
    assert np.mean(masked) == share


@pytest.mark.parametrize(
    ("active", "in_training", "in_inference"),
    [("always", True, True), ("training", True, False), ("inference", False, True)],
)
def test_active(active, in_training, in_inference):
    mask = RandomGridMask(1, 1.0, active=active)
    images = ones(1, 2, 2, 1)
    for training, masks in ((True, in_training), (False, in_inference)):
        assert np.max(mask(images, training=training)) == (0 if masks else 1)
    assert np.max(mask(images)) == (0 if in_inference else 1)


def test_seeds():
    def draws(seed):
        mask = RandomGridMask(1, 0.5, seed=seed)
        return [np.array(mask(ones(1, 8, 8, 1))) for _ in range(2)]

    first, second = draws(3)
    assert (first != second).any()
    np.testing.assert_array_equal([first, second], draws(3))
    assert (draws(4)[0] != first).any()
    assert (draws(None)[0] != draws(None)[0]).any()


def test_gradient_flows_through_visible_pixels_only():
    mask = RandomGridMask(2, seed=0)
    images = tf.random.normal((2, 5, 5, 3), seed=0)
    keep = mask.sample(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(mask.apply(images, keep) * 3.0)
    expected = mask.apply(tf.fill(images.shape, 3.0), keep)
    np.testing.assert_array_equal(tape.gradient(total, images), expected)


def test_hidden_values_leave_no_trace():
    images = np.full((1, 4, 4, 1), np.nan, "float32")
    images[:, :2] = np.inf
    masked = RandomGridMask(2, 1.0, fill_value=0.5)(images)
    np.testing.assert_array_equal(masked, np.full((1, 4, 4, 1), 0.5))


def test_in_tf_data():
    """Single images and batches, in parallel; sizes unknown to the graph."""
    images = ones(16, 6, 6, 1)
    single = tf.data.Dataset.from_tensor_slices(images).map(
        RandomGridMask(1, 0.5, seed=0), num_parallel_calls=2
    )
    masked = np.stack(list(single.as_numpy_iterator()))
    assert masked.shape == images.shape
    assert 0.3 < masked.mean() < 0.7
    assert (masked != masked[:1]).any()
    unknown = tf.data.Dataset.from_generator(
        lambda: iter([images[:, :5, :4]]),
        output_signature=tf.TensorSpec((None, None, None, 1)),
    )
    (batch,) = unknown.map(RandomGridMask(2, 0.5)).as_numpy_iterator()
    assert batch.shape == (16, 5, 4, 1)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_in_a_model_of_unknown_size(sampling):
    mask = RandomGridMask(2, 0.5, sampling=sampling, seed=5)
    inputs = keras.Input((None, None, 3))
    masked = keras.Model(inputs, mask(inputs)).predict(ones(4, 7, 9, 3), verbose=0)
    again = RandomGridMask(2, 0.5, sampling=sampling, seed=5)
    np.testing.assert_array_equal(masked, again(ones(4, 7, 9, 3)))


@pytest.mark.long
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_under_xla(sampling):
    """Keras' default on a GPU. TensorFlow's XLA has another random stream."""

    def predict():
        mask = RandomGridMask(2, 0.5, sampling=sampling, seed=5)
        model = keras.Sequential([keras.Input((8, 8, 3)), mask])
        model.compile(jit_compile=True)
        return [model.predict(ones(4, 8, 8, 3), verbose=0) for _ in range(2)]

    first, second = predict()
    np.testing.assert_array_equal(predict(), [first, second])
    assert (first != second).any()
    blocks = first.reshape(4, 4, 2, 4, 2, 3)
    assert (blocks == blocks[:, :, :1, :, :1, :1]).all()
    if sampling != "bernoulli":
        assert (first.mean((1, 2, 3)) == 0.5).all()


def test_empty_batch():
    mask = RandomGridMask(2)
    assert mask(ones(0, 4, 4, 1)).shape == (0, 4, 4, 1)
    assert mask.sample(ones(0, 4, 4, 1), views=3).shape == (3, 0, 2, 2)


def test_half_precision_keeps_visible_bits():
    images = np.random.default_rng(0).random((2, 4, 4, 1)).astype("float16")
    mask = RandomGridMask(2, seed=1, dtype="mixed_float16")
    keep = mask.sample(images)
    masked = ops.convert_to_numpy(mask.apply(images, keep))
    assert masked.dtype == np.float16
    np.testing.assert_array_equal(masked[masked != 0], images[masked != 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell_size": 0}, "`cell_size` .* at least 1. Received: cell_size=0"),
        ({"cell_size": 2.5}, "Received: cell_size=2.5"),
        ({"cell_size": True}, "Received: cell_size=True"),
        ({"mask_rate": 1.01}, r"in \[0, 1\]. Received: mask_rate=1.01"),
        ({"mask_rate": float("nan")}, "Received: mask_rate=nan"),
        ({"mask_rate": "half"}, "Received: mask_rate='half'"),
        ({"sampling": "grid"}, "one of 'bernoulli', .* Received: sampling='grid'"),
        ({"active": True}, "Received: active=True"),
        ({"data_format": "NHWC"}, "Received: data_format='NHWC'"),
        ({"fill_value": "black"}, "Received: fill_value='black'"),
        ({"fill_value": []}, r"Received: fill_value=\[\]"),
        ({"fill_value": [[0.5]]}, r"Received: fill_value=\[\[0.5\]\]"),
        ({"fill_value": None}, "Received: fill_value=None"),
        ({"mask_rate": 0.7, "sampling": "partition"}, "such as 0.6667 or 0.75"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomGridMask(**{"cell_size": 2, **arguments})


@pytest.mark.parametrize(
    ("mask", "images", "error", "message"),
    [
        (RandomGridMask(2), ones(4, 4), ValueError, r"images.shape=\(4, 4\)"),
        (RandomGridMask(5), ones(1, 4, 8, 1), ValueError, "cell_size=5, images.sh"),
        (RandomGridMask(2), np.ones((1, 4, 4, 1), "uint8"), TypeError, "dtype=uint8"),
        (
            RandomGridMask(2, fill_value=(0, 1)),
            ones(1, 4, 4, 3),
            ValueError,
            "each of the 3 channels",
        ),
        (
            RandomGridMask(2, 0.9, sampling="partition"),
            ones(1, 4, 4, 1),
            ValueError,
            "10 groups of cells here, but there are 4 cells",
        ),
    ],
)
def test_bad_images(mask, images, error, message):
    with pytest.raises(error, match=message):
        mask(images)
    with pytest.raises(error, match=message):
        mask.sample(images)
    if images.ndim == 4:
        with pytest.raises(error, match=message):
            mask(keras.Input(images.shape[1:], dtype=str(images.dtype)))


def test_bad_keep_and_views():
    mask = RandomGridMask(2)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\).*keep.shape=\(1, 3, 2\)"):
        mask.apply(ones(1, 4, 4, 1), ones(1, 3, 2))
    with pytest.raises(ValueError, match="Received: views=0"):
        mask.sample(ones(1, 4, 4, 1), views=0)


@pytest.mark.parametrize("sampling", ["bernoulli", "fixed_count"])
def test_every_view_draws_its_own_rate_between_two(sampling):
    images = np.zeros((500, 16, 16, 1), "float32")
    mask = RandomGridMask(1, (0.4, 0.8), sampling=sampling, seed=0)
    hidden = 1 - np.mean(mask.sample(images, views=4), axis=(-2, -1))
    # A Bernoulli mask of 256 cells hides its rate, give or take 0.16 (5 deviations).
    room = 0.16 if sampling == "bernoulli" else 0.002
    assert hidden.min() >= 0.4 - room and hidden.max() <= 0.8 + room
    counts, _ = np.histogram(hidden, bins=4, range=(0.4, 0.8))
    assert counts.min() > 400  # of 2,000; 500 expected
    again = RandomGridMask.from_config(mask.get_config())
    assert again.mask_rate == (0.4, 0.8)


@pytest.mark.parametrize(
    ("rate", "options", "says"),
    [
        ((0.8, 0.4), {}, "lowest and the highest"),
        ((0.1, 0.2, 0.3), {}, "lowest and the highest"),
        ((0.5, 1.5), {}, "lowest and the highest"),
        ((0.5, 0.75), {"sampling": "partition"}, "one number"),
    ],
)
def test_two_rates_are_checked(rate, options, says):
    with pytest.raises(ValueError, match=says):
        RandomGridMask(2, rate, **options)
