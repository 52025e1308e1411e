"""What a mask adds to a training step, and a vote to a prediction.

The two sides of a ratio take turns, call by call, and the ratio is the median of
the pairs: a drift of the machine's speed then falls on both. Each is called three
times before it is timed, so no tracing is in a timing.
"""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_maskdef import RandomGridMask, VotingEnsemble
from keras_maskdef.architectures import lenet, vgg16

Call = Callable[[], Any]
BATCH = 64
QUARTILES = (0.25, 0.5, 0.75)


def seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def record_ratio(
    benchmark: Any, case: str, shape: tuple, ours: Call, other: Call, pairs: int
) -> None:
    """Times `ours` for pytest-benchmark, and the pairs for `extra_info`."""
    for _ in range(3):
        ours()
        other()
    ratios = [seconds(ours) / seconds(other) for _ in range(pairs)]
    low, middle, high = (round(float(q), 4) for q in np.quantile(ratios, QUARTILES))
    benchmark.extra_info.update(
        library="keras_maskdef",
        kernel=case,
        shape=[BATCH, *shape],
        dtype="float32",
        ratio=middle,
        ratio_quartiles=[low, high],
    )
    benchmark.pedantic(ours, rounds=5)


def training_step(masked: bool, width: float) -> Call:
    keras.utils.set_random_seed(0)
    stack = [keras.Input((32, 32, 3))]
    if masked:
        stack.append(RandomGridMask(8))
    model = keras.Sequential([*stack, vgg16(width=width)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    x = np.random.default_rng(0).random((BATCH, 32, 32, 3)).astype("float32")
    y = np.arange(BATCH) % 10
    return lambda: model.train_on_batch(x, y)


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_mask_in_a_training_step(benchmark: Any, width: float) -> None:
    """At most 1.02."""
    masked, plain = training_step(True, width), training_step(False, width)
    case = f"VGG16 (width {width:g}) training step, with a mask over without"
    pairs = 41 if width < 1 else 11
    record_ratio(benchmark, case, (32, 32, 3), masked, plain, pairs)


@pytest.mark.parametrize("votes", [4, 5])
@pytest.mark.parametrize("pooling", ["majority", "geometric"])
@pytest.mark.parametrize("network", ["lenet", "vgg16"])
def test_vote(benchmark: Any, network: str, pooling: str, votes: int) -> None:
    """At most 1.03."""
    classifier = lenet() if network == "lenet" else vgg16(width=0.25)
    shape = classifier.input_shape[1:]
    mask = RandomGridMask(7 if network == "lenet" else 8)
    vote = VotingEnsemble(classifier, mask, votes=votes, pooling=pooling)
    x = np.random.default_rng(0).random((BATCH, *shape)).astype("float32")

    def single_passes() -> None:
        for _ in range(votes):
            classifier.predict_on_batch(x)

    name = "LeNet" if network == "lenet" else "VGG16 (width 0.25)"
    case = f"{name} {pooling} vote of {votes} views over {votes} single passes"
    record_ratio(
        benchmark, case, shape, lambda: vote.predict_on_batch(x), single_passes, 31
    )
