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


def seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def record_ratio(benchmark: Any, ours: Call, other: Call, pairs: int) -> None:
    """Times `ours` for pytest-benchmark, and the pairs for `extra_info`."""
    for _ in range(3):
        ours()
        other()
    ratios = [seconds(ours) / seconds(other) for _ in range(pairs)]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    benchmark.extra_info["ratio"] = round(float(middle), 4)
    benchmark.extra_info["ratio_quartiles"] = [round(float(r), 4) for r in (low, high)]
    benchmark.pedantic(ours, rounds=5)
    print(f"\n{benchmark.name}: {middle:.3f} ({low:.3f} to {high:.3f})")


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


@pytest.mark.benchmark(group="VGG16 training step: with a mask / without")
@pytest.mark.parametrize("width", [0.25, 1.0])
def test_mask_in_a_training_step(benchmark: Any, width: float) -> None:
    masked, plain = training_step(True, width), training_step(False, width)
    record_ratio(benchmark, masked, plain, pairs=41 if width < 1 else 11)


@pytest.mark.benchmark(group="prediction: a vote of N views / N single passes")
@pytest.mark.parametrize("votes", [4, 5])
@pytest.mark.parametrize("pooling", ["majority", "geometric"])
@pytest.mark.parametrize("network", ["lenet", "vgg16"])
def test_vote(benchmark: Any, network: str, pooling: str, votes: int) -> None:
    classifier = lenet() if network == "lenet" else vgg16(width=0.25)
    shape = classifier.input_shape[1:]
    mask = RandomGridMask(7 if network == "lenet" else 8)
    vote = VotingEnsemble(classifier, mask, votes=votes, pooling=pooling)
    x = np.random.default_rng(0).random((BATCH, *shape)).astype("float32")

    def single_passes() -> None:
        for _ in range(votes):
            classifier.predict_on_batch(x)

    record_ratio(benchmark, lambda: vote.predict_on_batch(x), single_passes, pairs=31)
