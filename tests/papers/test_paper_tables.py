"""The papers' tables agree with each other, and their rows run by name."""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
import toy

from keras_maskdef import architectures, datasets
from keras_maskdef.attacks import Target, craft, describe
from keras_maskdef.evaluation.threat_models import THREAT_MODELS
from keras_maskdef.papers._mad_figures import FIGURE2
from keras_maskdef.papers._sfm_figures import TIME_COST
from keras_maskdef.papers.paper_evaluation import table_run
from keras_maskdef.papers.paper_tables import TABLES, UNCUT, PaperRow

ORDERS = {"l1": 1, "l2": 2, "linf": np.inf}
# The papers' sizes are for other networks and, on MNIST, for other images than those
# in [0, 1]; to beat noise by a margin on 40 digits, a small LeNet takes larger ones.
FACTORS = {"l1": 3, "l2": 5, "linf": 5}
# Foolbox's default of 9 times 10000 steps takes minutes.
SHORTER_CW = {"steps": 20, "binary_search_steps": 3, "initial_const": 5.0}
RUN = ["mad/table5-lenet-mnist", "sfm/table1-cifar10", "sfm/table2-cifar10"]

# The column "Improvement" of Tables 4 and 5, in points.
IMPROVEMENTS = {
    "mad/table4-vgg16-cifar10": """
        47.15 46.23 46.33 46.62 48.03 40.50 74.48 74.21 73.78 72.82 78.64 76.00
        76.69 77.12 73.95 75.44 78.65 79.15 75.39 49.56 49.38 49.51 48.18
    """,
    "mad/table5-lenet-mnist": """
        24.82 21.15 23.75 22.54 25.56 21.73 50.51 41.91 52.68 45.25 59.22 52.71
        55.75 51.38 54.89 47.59 59.26 53.11 93.19 28.43 24.90 22.49 17.26
    """,
    "mad/table5-resnet18-svhn": """
        26.37 24.40 27.23 24.71 28.28 22.89 64.91 64.31 62.65 64.78 70.25 68.42
        69.05 70.24 67.82 69.20 74.35 75.82 74.35 27.31 28.35 30.96 26.59
    """,
}


def test_counts():
    assert {n: (len(t.rows), len(t.columns)) for n, t in TABLES.items()} == {
        "mad/table1-mask-rates": (23, 5),
        "mad/table2-masked-phases": (4, 4),
        "mad/table3-grid-sizes": (23, 5),
        "mad/table4-vgg16-cifar10": (23, 2),
        "mad/table5-lenet-mnist": (23, 2),
        "mad/table5-resnet18-svhn": (23, 2),
        "mad/table6-comparison": (23, 5),
        "sfm/table1-cifar10": (6, 7),
        "sfm/table2-cifar10": (5, 7),
        "sfm/table3-svhn": (6, 7),
        "sfm/table4-svhn": (5, 7),
        "sfm/table5-tiny-imagenet": (6, 6),
        "sfm/table6-tiny-imagenet": (5, 6),
        "sfm/table7-cifar10": (5, 1),
        "sfm/table7-svhn": (5, 1),
        "sfm/table7-tiny-imagenet": (5, 1),
    }


@pytest.mark.parametrize("name", TABLES)
def test_tables_name_what_there_is(name):
    table = TABLES[name]
    assert table.name == name
    assert hasattr(architectures, table.architecture)
    assert hasattr(datasets, table.dataset)
    assert table.threat_model in THREAT_MODELS
    assert table.undefended in (None, *table.columns)
    assert table.defended in table.columns
    assert len(set(table.rows)) == len(table.rows)
    for row in table.rows:
        info = describe(row.attack, row.norm, row.library)
        assert set(row.options) <= set(info.options)
        assert row.epsilon > 0


@pytest.mark.parametrize("name", TABLES)
def test_every_figure_is_there(name):
    table = TABLES[name]
    unknown = []
    for row in table.rows:
        assert tuple(row.figures) == table.columns
        unknown += [(row.attack, c) for c, f in row.figures.items() if f is None]
        assert all(0 <= f <= 1 for f in row.figures.values() if f is not None)
        if table.undefended:
            assert row.figures[table.undefended] < row.figures[table.defended]
    assert unknown == ([("cw", "TVM")] if name == "sfm/table4-svhn" else [])
    assert tuple(table.clean) == table.columns
    unknown = [column for column, figure in table.clean.items() if figure is None]
    assert unknown == (["attack"] if "attack" in table.columns else [])
    assert all(0.4 < figure < 1 for figure in table.clean.values() if figure)


def column(table, name):
    """The figures of a column by attack, and without one."""
    table = TABLES[table]
    figures = {(r.attack, r.norm, r.epsilon): r.figures[name] for r in table.rows}
    return {**figures, "clean": table.clean[name]}


def test_mads_tables_share_their_recommended_setting():
    """MAD's Tables 1, 3, 4 and 6 repeat one column, and Table 2 some lines."""
    defence = column("mad/table4-vgg16-cifar10", "defence")
    assert column("mad/table1-mask-rates", "3/4") == defence
    assert column("mad/table3-grid-sizes", "8 and 4") == defence
    assert column("mad/table6-comparison", "MAD") == defence
    attack = column("mad/table4-vgg16-cifar10", "attack")
    phases = "mad/table2-masked-phases"
    for name, longer in {
        "both": defence,
        "training": {**attack, "clean": 0.8465},
        "neither": column("mad/table1-mask-rates", "0"),
    }.items():
        shorter = column(phases, name)
        assert shorter == {key: longer[key] for key in shorter}


@pytest.mark.parametrize("name", IMPROVEMENTS)
def test_improvements(name):
    """The papers' own differences, rounded as its figures are."""
    found = [
        round(100 * (row.figures["defence"] - row.figures["attack"]), 2)
        for row in TABLES[name].rows
    ]
    assert found == [float(each) for each in IMPROVEMENTS[name].split()]


def test_sfms_tables_share_their_clean_lines():
    for black, gray, white in [
        ("1-cifar10", "2-cifar10", "7-cifar10"),
        ("3-svhn", "4-svhn", "7-svhn"),
        ("5-tiny-imagenet", "6-tiny-imagenet", "7-tiny-imagenet"),
    ]:
        tables = [TABLES[f"sfm/table{each}"] for each in (black, gray, white)]
        assert len({table.dataset for table in tables}) == 1
        assert len({table.architecture for table in tables}) == 1
        models = [table.threat_model for table in tables]
        assert models == ["surrogate", "gray_box", "white_box"]
        assert tables[0].clean == tables[1].clean
        assert tables[2].clean.items() <= tables[0].clean.items()
        of_gray, of_white = tables[1:]
        for one, other in zip(of_gray.rows, of_white.rows, strict=True):
            assert replace(one, figures={}) == replace(other, figures={})


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("sfm/")])
def test_larger_sizes_do_more(name):
    """In every column; a line that is shifted by one shows up here."""
    rows = TABLES[name].rows
    for small, large in itertools.pairwise(rows):
        if small.attack == large.attack:
            assert small.epsilon * 2 == large.epsilon
            for method, accuracy in large.figures.items():
                assert accuracy <= small.figures[method]


def test_figures_of_the_papers():
    """As read off the pages by hand."""
    rates = TABLES["mad/table1-mask-rates"].rows
    figures = {"0": 0.5849, "1/3": 0.646, "1/2": 0.7917, "3/4": 0.8544, "4/5": 0.8811}
    assert PaperRow("pgd", "l1", 15.0, "foolbox", figures) in rates
    phases = TABLES["mad/table2-masked-phases"]
    assert phases.clean["test"] == 0.4939
    assert phases.rows[2].figures["test"] == 0.7006
    grids = TABLES["mad/table3-grid-sizes"].rows[-1].figures
    assert tuple(grids.values()) == (0.8603, 0.8266, 0.8216, 0.8044, 0.7492)
    mad = TABLES["mad/table4-vgg16-cifar10"].rows
    figures = {"attack": 0.0106, "defence": 0.7706}
    assert PaperRow("bim", "linf", 0.015, "foolbox", figures) in mad
    lenet = TABLES["mad/table5-lenet-mnist"].rows
    figures = {"attack": 0.0020, "defence": 0.9339}
    assert PaperRow("cw", "l2", 1.5, "foolbox", figures) in lenet
    svhn = TABLES["mad/table5-resnet18-svhn"].rows
    figures = {"attack": 0.4639, "defence": 0.7298}
    assert PaperRow("deepfool", "linf", 0.02, "foolbox", figures) in svhn
    others = TABLES["mad/table6-comparison"].rows[-1].figures
    assert tuple(others.values()) == (0.5426, 0.7168, 0.0949, 0.5328, 0.8044)
    diverse = TABLES["sfm/table1-cifar10"].rows[-1]
    assert (diverse.epsilon, diverse.figures["SFM-Defense"]) == (16 / 255, 0.313)
    assert dict(diverse.options) == {"steps": 30, "step_size": 1 / 255}
    assert diverse.library == "keras_maskdef"
    cw = TABLES["sfm/table2-cifar10"].rows[-1]
    assert (cw.figures["Vanilla"], cw.figures["SFM-Defense"]) == (0.082, 0.849)
    tiny = TABLES["sfm/table6-tiny-imagenet"].rows[-1].figures
    assert tuple(tiny.values()) == (0.114, 0.0, 0.123, 0.204, 0.35, 0.53)
    white = TABLES["sfm/table7-svhn"].rows
    accuracies = [row.figures["SFM-Defense"] for row in white]
    assert accuracies == [0.662, 0.434, 0.296, 0.171, 0.317]
    assert np.sqrt(64 * 64 * 3) < UNCUT


def test_figures_beside_the_tables():
    defence = TABLES["mad/table1-mask-rates"].clean
    assert FIGURE2["unmasked"] == defence["0"]
    # The tables are of five views.
    assert FIGURE2["one view"] < defence["3/4"] < FIGURE2["seven views"]
    black = TABLES["sfm/table1-cifar10"]
    assert set(TIME_COST) <= set(black.columns)
    training, defending = zip(*TIME_COST.values(), strict=True)
    assert min(training) == TIME_COST["Vanilla"][0]
    assert min(defending) == TIME_COST["Vanilla"][1]


@pytest.mark.parametrize("name", ["mad/table1-mask-rates", "sfm/table7-cifar10"])
def test_a_table_without_the_bare_classifier_is_run_unmatched(name):
    run = table_run(TABLES[name], toy.vote(), toy.data(4))
    rows = TABLES[name].rows
    assert [setting.epsilon for setting in run.attacks] == [r.epsilon for r in rows]
    assert {setting.name for setting in run.adaptive} == {"pgd"}
    for row in rows:
        key = (TABLES[name].threat_model, row.attack, row.norm, row.epsilon)
        defence = row.figures[TABLES[name].defended]
        assert run.paper[key] == {"defence": defence, "epsilon": row.epsilon}


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
