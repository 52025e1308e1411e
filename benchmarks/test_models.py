"""What a mask adds to a training step, and a vote to a prediction.

See paired.py for how ratios are taken.
"""

from typing import Any

import keras
import numpy as np
import pytest
from paired import Call, record_ratio

from keras_maskdef import RandomGridMask, VotingEnsemble
from keras_maskdef.architectures import lenet, vgg16

BATCH = 64


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
    record_ratio(benchmark, case, (BATCH, 32, 32, 3), masked, plain, pairs)


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
        benchmark, case, x.shape, lambda: vote.predict_on_batch(x), single_passes, 31
    )
