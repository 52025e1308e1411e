"""Every row of the papers' tables runs by name."""

import keras
import numpy as np
import pytest

from keras_maskdef import architectures, datasets
from keras_maskdef.attacks import Target, craft, describe
from keras_maskdef.recipes.paper_tables import TABLES, UNCUT, PaperRow

ORDERS = {"l1": 1, "l2": 2, "linf": np.inf}
# The papers' sizes are for other networks and, on MNIST, for other images than those
# in [0, 1]; to beat noise by a margin on 40 digits, a small LeNet takes larger ones.
FACTORS = {"l1": 3, "l2": 5, "linf": 5}
# Foolbox's default of 9 times 10000 steps takes minutes.
SHORTER_CW = {"steps": 20, "binary_search_steps": 3, "initial_const": 5.0}
RUN = ["mad/table5-lenet-mnist", "sfm/table1-cifar10", "sfm/table2-cifar10"]


def test_counts():
    assert {name: len(table.rows) for name, table in TABLES.items()} == {
        "mad/table4-vgg16-cifar10": 23,
        "mad/table5-lenet-mnist": 23,
        "mad/table5-resnet18-svhn": 23,
        "sfm/table1-cifar10": 6,
        "sfm/table2-cifar10": 5,
    }


@pytest.mark.parametrize("name", TABLES)
def test_tables_name_what_there_is(name):
    table = TABLES[name]
    assert table.name == name
    assert hasattr(architectures, table.architecture)
    assert hasattr(datasets, table.dataset)
    assert len(set(table.rows)) == len(table.rows)
    for row in table.rows:
        info = describe(row.attack, row.norm, row.library)
        assert set(row.options) <= set(info.options)
        assert row.epsilon > 0
        assert 0 < row.attack_accuracy < row.defence_accuracy < 1


def test_figures_of_the_papers():
    """As read off the pages by hand."""
    mad = TABLES["mad/table4-vgg16-cifar10"].rows
    assert PaperRow("bim", "linf", 0.015, "foolbox", 0.0106, 0.7706) in mad
    lenet = TABLES["mad/table5-lenet-mnist"].rows
    assert PaperRow("cw", "l2", 1.5, "foolbox", 0.0020, 0.9339) in lenet
    svhn = TABLES["mad/table5-resnet18-svhn"].rows
    assert PaperRow("deepfool", "linf", 0.02, "foolbox", 0.4639, 0.7298) in svhn
    diverse = TABLES["sfm/table1-cifar10"].rows[-1]
    assert (diverse.epsilon, diverse.defence_accuracy) == (16 / 255, 0.313)
    assert dict(diverse.options) == {"steps": 30, "step_size": 1 / 255}
    cw = TABLES["sfm/table2-cifar10"].rows[-1]
    assert (cw.attack_accuracy, cw.defence_accuracy) == (0.082, 0.849)
    assert np.sqrt(32 * 32 * 3) < UNCUT


@pytest.fixture(scope="module")
def attacked(classifier):
    """Digits in grey: SFM's 20 steps of CW do not get away from black and white."""
    images, labels, _ = datasets.sample("test[:40]")
    rescaling = keras.layers.Rescaling(2.0, offset=-0.5)
    model = keras.Sequential([rescaling, classifier])
    return Target(model), (0.25 + 0.5 * images).astype("float32"), labels


def accuracy(target, images, labels):
    return np.mean(target.logits(images).numpy().argmax(-1) == labels)


ROWS = [
    pytest.param(row, id=f"{name}-{row.attack}-{row.norm}-{row.epsilon:.3g}")
    for name in RUN
    for row in TABLES[name].rows
]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_runs_by_name(attacked, row):
    target, images, labels = attacked
    epsilon = row.epsilon * FACTORS[row.norm]
    options = row.options or (SHORTER_CW if row.attack == "cw" else {})
    adversarial = craft(
        row.attack,
        target,
        images,
        labels,
        epsilon,
        row.norm,
        library=row.library,
        **options,
    )
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    change = (adversarial.astype("float64") - images).reshape(len(images), -1)
    size = np.linalg.norm(change, ORDERS[row.norm], axis=1).max()
    assert size <= epsilon * (1 + 1e-6)
    noisy = craft("noise", target, images, labels, size, row.norm)
    fooled = accuracy(target, adversarial, labels)
    assert fooled < accuracy(target, noisy, labels) - 0.05
