"""What an exact certificate takes to the bare classifier on as many inputs.

The image has no cell that looks hidden anyway, so that all masks are asked for: digits
of MNIST take a thirtieth of that. See paired.py for how ratios are taken.
"""

from typing import Any

import numpy as np
import pytest
from paired import record_ratio

from keras_maskdef import RandomGridMask, certify
from keras_maskdef.architectures import lenet, vgg16

RNG = np.random.default_rng(0)
# Masks of 16 cells: all of them, and those that show four.
VIEWS = {"bernoulli": 65_536, "fixed_count": 1_820}
BATCH = 2048
MODELS = {
    "LeNet": (lenet, (28, 28, 1), 7),
    "VGG16 (width 0.25)": (lambda: vgg16(width=0.25), (32, 32, 3), 8),
}


@pytest.mark.parametrize(
    ("name", "sampling", "images"),
    [("LeNet", "bernoulli", 1), ("LeNet", "fixed_count", 36)]
    + [("VGG16 (width 0.25)", "fixed_count", 9)],
)
def test_exact_certificate(
    benchmark: Any, name: str, sampling: str, images: int
) -> None:
    """At most 1.2 times the bare classifier, batch by batch through Keras."""
    build, shape, cell_size = MODELS[name]
    model = build()
    mask = RandomGridMask(cell_size, 0.75, sampling=sampling)
    x = RNG.random((images, *shape)).astype("float32")
    batches = -(-images * VIEWS[sampling] // BATCH)
    inputs = RNG.random((BATCH, *shape)).astype("float32")

    def bare() -> None:
        for _ in range(batches):
            np.asarray(model.predict_on_batch(inputs)).argmax(-1)

    record_ratio(
        benchmark,
        f"exact certificate, {name}, {sampling}, over {batches * BATCH:,} inputs",
        x.shape,
        lambda: certify(model, x, mask=mask, memory=4 << 30),
        bare,
        5,
    )
