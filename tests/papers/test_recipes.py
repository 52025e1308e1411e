"""Recipes: their data, what they cut, and runs of them on made images."""

import json
import queue
import re
import shutil
import subprocess
import sys
import threading
import warnings
from dataclasses import asdict, fields, replace
from functools import cache as remembered

import keras
import numpy as np
import pytest
from filelock import FileLock

from keras_maskdef import architectures, baselines, datasets
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.core.intervals import wilson
from keras_maskdef.evaluation.checks import RobustnessWarning
from keras_maskdef.evaluation.defence import Defence
from keras_maskdef.papers import (
    attack_table,
    catalogue,
    mad,
    model_cache,
    paper_evaluation,
    sfm,
)
from keras_maskdef.papers._sfm_figures import TIME_COST
from keras_maskdef.papers.alternating import Alternated, new_masker
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.papers.attack_table import AttackTable
from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.catalogue import RECIPES, find
from keras_maskdef.papers.model_cache import MODEL, RECORD, ModelCache
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.recipe import Cuts, settings_of
from keras_maskdef.papers.remaining_perturbation import RemainingPerturbation
from keras_maskdef.papers.report_rows import columns, title
from keras_maskdef.papers.run_recipe import PICTURE, run_recipe, train_recipe
from keras_maskdef.papers.time_cost import TimeCost
from keras_maskdef.results import Report
from keras_maskdef.results.wording import percent_with_interval
from maskdef import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:PyTorch not found:UserWarning"),  # ART's
    # Networks that have learned nothing.
    pytest.mark.filterwarnings(
        "ignore::keras_maskdef.evaluation.checks.RobustnessWarning"
    ),
    pytest.mark.filterwarnings("ignore::keras_maskdef.callbacks.EmptyMaskWarning"),
    pytest.mark.filterwarnings("ignore::keras_maskdef.callbacks.FullMaskWarning"),
    pytest.mark.filterwarnings(
        "ignore::keras_maskdef.callbacks.IdentityOptimumWarning"
    ),
]
SHAPES = {
    "mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "svhn_cropped": ((32, 32, 3), 10),
    "tiny_imagenet": ((64, 64, 3), 200),
    "tiny_imagenet_subset": ((64, 64, 3), 20),
}
TABLES = [name for name, recipe in RECIPES.items() if isinstance(recipe, AttackTable)]
SETTINGS = (Network, Alternation, Autoencoder)


@remembered
def made(dataset, part):
    """Noise over a colour for each class; each class is there."""
    shape, classes = SHAPES[dataset]
    rng = np.random.default_rng(0 if part == "train" else 1)
    labels = np.arange(40) % classes
    colours = np.random.default_rng(2).uniform(0.2, 0.8, (classes, 1, 1, shape[-1]))
    images = colours[labels] + rng.normal(0, 0.1, (40, *shape))
    names = tuple(f"class {number}" for number in range(classes))
    return ImageData(np.clip(images, 0, 1).astype("float32"), labels, names)


# --- The data.


@remembered
def untrained(setting):
    """What the training of a setting would make, without the training."""
    if isinstance(setting, Autoencoder):
        return baselines.autoencoder(SHAPES[setting.dataset][0], setting.width)
    if isinstance(setting, Alternation):
        shape = SHAPES[setting.network.dataset][0]
        masker = masker_of(setting.masker_widths, shape) if setting.masker else None
        return Alternated(untrained(setting.network), masker, {})
    network = replace(setting, seed=0, mask=None, noise=0.0, pretrained=None)
    if network != setting:
        return untrained(network)
    return setting.build(*SHAPES[setting.dataset])


@remembered
def masker_of(widths, shape):
    masker = new_masker(Alternation(Network("", ""), widths), shape)
    masker.build((None, *shape))
    return masker


@pytest.fixture(autouse=True)
def closed_logs(monkeypatch):
    """Keras closes its log at the end of a training that has one."""
    begin, logs = keras.callbacks.CSVLogger.on_train_begin, []

    def on_train_begin(self, *arguments):
        begin(self, *arguments)
        logs.append(self)

    monkeypatch.setattr(keras.callbacks.CSVLogger, "on_train_begin", on_train_begin)
    yield
    for log in logs:
        if log.csv_file:
            log.csv_file.close()


@pytest.fixture(scope="module", autouse=True)
def forget():
    yield
    untrained.cache_clear()
    masker_of.cache_clear()
    made.cache_clear()


@pytest.mark.parametrize("scale", ["paper", "cpu"])
@pytest.mark.parametrize("name", RECIPES)
def test_all_of_a_recipe_can_be_built(name, scale):
    recipe = RECIPES[name].at(scale)
    assert find(name).at(scale) == recipe
    for setting in recipe.trainings():
        assert untrained(setting) is not None
    if not isinstance(recipe, AttackTable | TimeCost):
        return
    for defence in recipe.defences.values():
        built = defence.build(untrained)
        assert isinstance(built, keras.Model | Defence)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_itself_and_what_there_is(name):
    recipe = RECIPES[name]
    paper = {"mad": "MAD, ", "sfm": "SFM-Defense, "}[name.split("/")[0]]
    assert recipe.name == name and recipe.title.startswith(paper)
    assert re.search(r"(Table|Figure|Figures) \d", recipe.title)
    assert recipe.minutes > 0 and recipe.images > 0
    for scale in ("paper", "cpu"):
        scaled = recipe.at(scale)
        settings = scaled.trainings()
        assert settings and len({*settings}) == len(settings)
        titles = [setting.title for setting in settings]
        assert len({*titles}) == len(titles)
        for setting in settings:
            network = setting.network if isinstance(setting, Alternation) else setting
            assert network.dataset == scaled.dataset
            assert hasattr(datasets, network.dataset)
            if isinstance(network, Network):
                assert hasattr(architectures, network.architecture)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_stands_beside_the_papers(name):
    recipe = RECIPES[name]
    paper = recipe.paper
    assert paper.rows and recipe.dataset == paper.dataset
    assert {*recipe.beside} <= {*recipe.defences}
    assert {*recipe.beside.values()} <= {*paper.columns}
    for setting in recipe.trainings():
        network = setting.network if isinstance(setting, Alternation) else setting
        if isinstance(network, Network):
            assert network.architecture == paper.architecture
    uses = recipe.threat_models or (paper.threat_model,)
    assert ("surrogate" in uses) == (recipe.surrogate is not None)
    if recipe.surrogate is not None:
        assert recipe.surrogate not in [
            setting
            for defence in recipe.defences.values()
            for setting in settings_of(defence)
        ]
    # What is cut to some columns still has some of the paper's.
    assert {*recipe.at("cpu").defences} <= {*recipe.defences}
    # Each column of the paper is there, or is said not to be.
    if recipe.beside:
        assert {*recipe.beside.values(), *recipe.not_built} == {*paper.columns}


def test_time_stands_beside_the_papers():
    recipe = RECIPES["sfm/time-cost"]
    assert {*recipe.beside.values()} <= {*TIME_COST}
    # Table 8, by hand.
    assert TIME_COST["SFM-Defense"] == (231.7, 0.8)
    assert TIME_COST["Vanilla"] == TIME_COST["FS"] == (78.9, 0.3)


def test_the_papers_settings():
    """By hand, from the papers' text."""
    mnist, cifar, svhn = (
        RECIPES[f"mad/{name}"]
        for name in ("mnist-lenet", "cifar10-vgg16", "svhn-resnet18")
    )
    for recipe, trained, tested in ((mnist, 7, 7), (cifar, 8, 4), (svhn, 8, 4)):
        defence = recipe.defences[mad.MAD]
        assert defence.network.mask.cell_size == trained
        assert defence.mask.cell_size == tested
        assert defence.mask.mask_rate == defence.network.mask.mask_rate == 0.75
        assert defence.votes == 5 and defence.pooling == "majority"
        assert defence.network.learning_rate == 1e-3
        # What is attacked is MAD's own network, without its masks.
        assert recipe.defences[mad.NO_MASKS].network == defence.network
        assert recipe.paper.threat_model == "classifier"
        assert recipe.counts == "right before"
    assert [r.images for r in (mnist, cifar, svhn)] == [10_000, 10_000, 26_032]
    assert {*mad.MASK_RATES.beside} == {"0", "1/3", "1/2", "3/4", "4/5"}
    for name, defence in mad.MASK_RATES.defences.items():
        if name in ("1/3", "1/2", "3/4", "4/5"):
            rate = eval(name)  # a constant of the line above
            assert defence.mask.mask_rate == defence.network.mask.mask_rate == rate
            assert (defence.network.mask.cell_size, defence.mask.cell_size) == (8, 4)
    for name, defence in mad.GRID_SIZES.defences.items():
        if not name.startswith("ours"):
            sizes = defence.network.mask.cell_size, defence.mask.cell_size
            assert name == f"{sizes[0]} and {sizes[1]}"
    for data, weights in (
        ("cifar10", (2.5e-3, 1.0, 1.0)),
        ("svhn", (2.5e-3, 1.0, 1.0)),
        ("tiny-imagenet", (0.1, 0.01, 100.0)),
    ):
        for box in ("black", "gray", "white"):
            recipe = RECIPES[f"sfm/{data}-{box}-box"]
            alternation = recipe.defences[sfm.SFM].alternation
            assert alternation.weights == weights
            assert alternation.train_on == "filtered"
            assert recipe.counts == "all"
            wanted = "surrogate" if box == "black" else f"{box}_box"
            assert recipe.paper.threat_model == wanted
            if box == "black":
                own = alternation.network
                assert replace(recipe.surrogate, seed=own.seed) == own


# --- What a scale cuts.


def leaves(value, path=()):
    """Every value of a plain setting by its path, as text would have it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    else:
        yield path, value


def written(value):
    """A number, a word, a flag, or several, as a person reads them."""
    if isinstance(value, bool):
        return {"yes"} if value else {"no"}
    if isinstance(value, list | tuple):
        return {" ".join(next(iter(written(each))) for each in value) or "none"}
    if value is None:
        return {"all", "by rho"}
    if isinstance(value, int):
        return {f"{value:,}"}
    return {str(value)}


def cut_by_hand(value, cuts, kinds=SETTINGS):
    """The plain data of a recipe, with the fields of its settings replaced."""
    if not isinstance(value, dict):
        return value
    found = {key: cut_by_hand(each, cuts) for key, each in value.items()}
    changes = dict(
        zip(kinds, (cuts.networks, cuts.alternations, cuts.autoencoders), strict=True)
    )
    for kind, change in changes.items():
        if found.keys() == {field.name for field in fields(kind)}:
            found |= change
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_the_small_scale_is_the_papers_but_for_its_cuts(name):
    recipe = RECIPES[name]
    cuts = recipe.cpu
    wanted = {**cut_by_hand(recipe.plain(), cuts), **cuts.recipe}
    if cuts.columns is not None:
        wanted["defences"] = {key: wanted["defences"][key] for key in cuts.columns}
    assert recipe.at("cpu").plain() == wanted
    assert recipe.at("paper") is recipe
    assert json.loads(json.dumps(recipe.plain()))
    with pytest.raises(ValueError, match="`scale` must be one of paper, cpu"):
        recipe.at("gpu")


# Fields that are told by other words.
WORDS = {"judgements": "repeats", "samples": "EOT samples", "checks": "sanity checks"}


@pytest.mark.parametrize("name", RECIPES)
def test_no_cut_goes_unsaid(name):
    """Every change has its line, and every line its change."""
    recipe = RECIPES[name]
    small = recipe.at("cpu")
    whole, cut = (dict(leaves(each.plain())) for each in (recipe, small))
    lines = recipe.cuts()
    assert len({*lines}) == len(lines)
    left_out = [line for line in lines if line.startswith("left out: ")]
    lines = [line for line in lines if line not in left_out]
    if isinstance(recipe, AttackTable):
        gone = [key for key in recipe.defences if key not in small.defences]
        assert left_out == [f"left out: {', '.join(gone)}"] * bool(gone)
    gone = {path[:2] for path in whole.keys() - cut.keys()}
    assert all(path[0] == "defences" and path[1] not in small.defences for path in gone)
    used = set()
    for path, value in cut.items():
        before = whole.get(path, "the library's")
        if before == value:
            continue
        field = WORDS.get(path[-1], path[-1].replace("_", " "))
        wanted = {
            f"{field}: {new} instead of {old}"
            for new in written(value)
            for old in written(before)
        }
        found = {line for line in lines if line.endswith(tuple(wanted))}
        assert found, (path, value)
        used |= found
    assert used == {*lines}


@pytest.mark.parametrize("name", ["sfm/cifar10-gray-box", "sfm/pictures"])
def test_cuts_say_what_they_are_of(name):
    """Weights that rho replaces are not "all"; a picture's name is no setting."""
    lines = RECIPES[name].cuts()
    assert not [line for line in lines if "weights: all" in line]
    subjects = {line.partition(":")[0] for line in lines}
    epochs = {subject for subject in subjects if subject.endswith("epochs")}
    assert epochs == {"network epochs", "alternation epochs"}


@pytest.mark.parametrize("name", RECIPES)
def test_cuts_are_of_what_is_run(name):
    """Options of an attack that is not among the rows are no cut."""
    recipe = RECIPES[name]
    if not isinstance(recipe, AttackTable | RemainingPerturbation):
        return
    attacks = {row.attack for row in recipe.at("cpu").paper.rows}
    assert {*recipe.at("cpu").options} <= attacks


def test_who_cuts_nothing_says_nothing():
    for recipe in RECIPES.values():
        assert replace(recipe, cpu=Cuts()).cuts() == []
        assert recipe.at("cpu").cuts() == []


def test_what_comes_first_is_trained_first():
    for recipe in RECIPES.values():
        for scaled in (recipe, recipe.at("cpu")):
            settings = scaled.trainings()
            for place, setting in enumerate(settings):
                if isinstance(setting, Alternation):
                    assert settings.index(setting.network) < place


def test_the_tables_of_a_paper_share_their_networks():
    """One undefended ResNet18 serves nine recipes on CIFAR-10."""
    for scale in ("paper", "cpu"):
        boxes = [
            {*RECIPES[f"sfm/cifar10-{box}-box"].at(scale).trainings()}
            for box in ("black", "gray", "white")
        ]
        assert boxes[2] <= boxes[1] <= boxes[0]
        assert len(boxes[0] - boxes[1]) == 1  # the surrogate
        timed = {*RECIPES["sfm/time-cost"].at(scale).trainings()}
        assert timed <= boxes[1]


def test_an_unknown_recipe():
    with pytest.raises(ValueError, match="`recipe` must be one of mad/mnist-lenet, "):
        find("mad/none")


# --- Runs.

# A network of few layers: what takes time here is to build and to trace.
FEW = {
    "architecture": "lenet",
    "width": None,
    "epochs": 1,
    "images": 40,
    "batch_size": 20,
}
ALTERNATIONS = {
    "masker_widths": (2, 4),
    "weights": None,
    "norms": "image",
    "train_on": "masked",
    "epochs": 1,
}
STEPS = {name: {"steps": 1} for name in ("bim", "pgd", "mim", "diverse", "deepfool")}
# Ten images, one of each class: whatever a network has learned, it is right on one.
QUICK = {
    "images": 10,
    "judgements": 2,
    "samples": (1,),
    "batch_size": 5,
    "match_images": 0,
    "checks": False,
    "first_size": True,
    "adaptive_norms": ("linf",),
    "options": {**STEPS, "cw": {"steps": 1, "binary_search_steps": 1}},
    "adaptive_options": {"steps": 1},
}


def tiny(name, columns=None, **recipe):
    """A recipe whose small scale is a few seconds."""
    known = {field.name for field in fields(RECIPES[name])}
    quick = {key: value for key, value in QUICK.items() if key in known}
    cuts = Cuts(
        networks=FEW,
        alternations=ALTERNATIONS,
        autoencoders={"width": 2, "epochs": 1, "images": 40},
        recipe={**quick, **recipe},
        columns=columns,
    )
    return replace(RECIPES[name], cpu=cuts)


def mnist(**recipe):
    """The quickest of them."""
    columns = (mad.NO_MASKS, mad.MAD)
    return tiny("mad/mnist-lenet", columns, **{"only": ("pgd",), **recipe})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models that all tests of this file share."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def models(folder):
    return ModelCache(made, folder)


def cells(table):
    """By the heading of a column, its cells by the first of the row."""
    return {
        heading: {row[0]: row[number] for row in table.rows}
        for number, heading in enumerate(table.headings)
    }


def run(recipe, models, output):
    """Runs a recipe; its figures must not need the process that measured them."""
    done = run_recipe(recipe, "cpu", models, output)
    results = json.loads((output / "results.json").read_text())
    assert results["recipe"] == recipe.name and results["scale"] == "cpu"
    assert results["cuts"] == recipe.cuts()
    assert done.results["result"].keys() == results["result"].keys()
    small = recipe.at("cpu")
    assert [each["what"] for each in results["trained"]] == [
        setting.title for setting in small.trainings()
    ]
    table = small.table(results["result"])
    assert (table.headings, [*map(tuple, table.rows)], table.notes) == (
        done.table.headings,
        [*map(tuple, done.table.rows)],
        done.table.notes,
    )
    lines = [*table.markdown()]
    assert len(lines) == 2 + len(table.rows)
    assert {line.count("|") for line in lines} == {len(table.headings) + 1}
    picture = output / "again.png"
    drawn = small.plot(results["result"], picture)
    assert drawn == picture.exists() == (output / PICTURE in done.written)
    if drawn:
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert all(path.exists() for path in done.written)
    return results["result"], table


def has_adaptive_row(result, table):
    adaptive = [row for row in result["rows"] if row["threat_model"] == "adaptive"]
    assert adaptive and result["rows"][-1]["threat_model"] == "union"
    assert [row[0] for row in table.rows if row[0].startswith("adaptive pgd")]
    assert table.rows[0][0] == "clean"


def test_mad_svhn(models, tmp_path):
    """Table 5, on the right."""
    columns = (mad.NO_MASKS, mad.MAD)
    recipe = tiny("mad/svhn-resnet18", columns, only=("pgd",))
    result, table = run(recipe, models, tmp_path)
    has_adaptive_row(result, table)
    assert (*result["defences"],) == columns
    found = cells(table)
    attack = found["no masks (paper / here)"]
    defence = found["MAD (paper / here)"]
    # The paper has no clean figure of the attacked network.
    assert " / " not in attack["clean"]
    assert re.match(r"91\.[67] / ", defence["clean"])  # 91.65
    for name, one, other in (
        ("pgd L1 14", "15.1", "84.1"),
        ("pgd L2 0.4", "16.4", "84.2"),
        ("pgd Linf 0.01", "10.1", "84.5"),
    ):
        assert attack[name].startswith(f"{one} / "), name
        assert abs(float(defence[name].split(" / ")[0]) - float(other)) < 0.11, name
    # Of the images that the bare network has right, as the paper counts.
    row = next(row for row in result["rows"] if row["paper"])
    assert row["threat_model"] == "classifier"
    for name, score in row["scores"].items():
        share = score["conditional"]
        if share is not None:
            here = table.rows[1][1 + [*result["defences"]].index(name)]
            assert f"{100 * share:.1f} (" in here


def test_base_models_stand_before_their_defences():
    """Under a name that says whose they are, if they are in the table for it alone."""
    bare, other = "bare classifier", "bare classifier of B"
    defences = {bare: bare, other: other, "none": "none", "A": bare, "B": other}
    defences |= {"C": "none", "D": bare}
    report = Report([], [], columns={n: {"bare": of} for n, of in defences.items()})
    names = columns(report)
    assert names == ["none", bare, "A", other, "B", "C", "D"]
    assert [report.heading(name) for name in names] == [
        "none",
        "base model of A, D",
        "A",
        "base model of B",
        "B",
        "C",
        "D",
    ]
    shared = Report([], [], columns={n: {"bare": bare} for n in (bare, "A", "D")})
    assert shared.heading(bare) == "base model"
    assert shared.heading("A") == "A"


@pytest.mark.slow
def test_mad_comparison(models, tmp_path):
    """Table 6."""
    columns = (mad.UNDEFENDED, "MagNet", "Parseval networks")
    recipe = tiny("mad/comparison", columns, only=("pgd",))
    result, table = run(recipe, models, tmp_path)
    has_adaptive_row(result, table)
    found = cells(table)
    # What the paper has no column of stands alone.
    assert all(" / " not in cell for cell in found[mad.UNDEFENDED].values())
    for column, figures in {
        "MagNet (paper / here)": ("82.3", "67.1", "72.0", "56.9"),
        "Parseval networks (paper / here)": ("77.9", "37.8", "48.2", "36.9"),
    }.items():
        rows = ("clean", "pgd L1 15", "pgd L2 0.3", "pgd Linf 0.01")
        for row, figure in zip(rows, figures, strict=True):
            # 82.65 and 77.925 round either way.
            shown = float(found[column][row].split(" / ")[0])
            assert abs(shown - float(figure)) < 0.11, (column, row)
    assert any("Denoised smoothing, PCL" in note for note in table.notes)


@pytest.mark.parametrize(
    ("box", "columns", "figures"),
    [
        (
            "black",
            (sfm.VANILLA, sfm.SQUEEZED, sfm.SFM),
            {
                "clean": ("93.8", "92.7", "91.3"),
                "pgd Linf 8/255": ("30.2", "33.2", "70.0"),
                "mim Linf 8/255": ("30.0", "32.6", "67.1"),
                "diverse Linf 8/255": ("28.8", "31.6", "65.8"),
            },
        ),
        pytest.param(
            "gray",
            (sfm.VANILLA, sfm.FILTER, sfm.SFM),
            {
                "clean": ("93.8", None, "91.3"),
                "fgsm Linf 8/255": ("18.0", None, "64.1"),
                "pgd Linf 8/255": ("8.8", None, "42.1"),
                "cw": ("3.8", None, "87.9"),
            },
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "white",
            (sfm.VANILLA, sfm.SFM),
            {
                "clean": (None, "91.3"),
                "fgsm Linf 8/255": (None, "66.2"),
                "pgd Linf 8/255": (None, "29.6"),
                "cw": (None, "31.7"),
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_sfm_svhn(box, columns, figures, models, tmp_path):
    """Tables 3, 4 and 7; the networks of one serve the others."""
    recipe = tiny(f"sfm/svhn-{box}-box", columns)
    result, table = run(recipe, models, tmp_path)
    has_adaptive_row(result, table)
    found = cells(table)
    for row, wanted in figures.items():
        for name, figure in zip(columns, wanted, strict=True):
            heading = f"{name} (paper / here)" if name in recipe.beside else name
            (cell,) = [
                text for first, text in found[heading].items() if first.startswith(row)
            ]
            paper, _, here = cell.rpartition(" / ")
            assert paper == (figure or ""), (row, name)
            assert re.fullmatch(r"\d+\.\d \([\d.]+-[\d.]+\)", here)
    models_run = {row["threat_model"] for row in result["rows"]}
    assert ("surrogate" in models_run) == (box == "black")


@pytest.mark.slow
def test_sfm_sparsity(models, tmp_path):
    """Figure 3: two attackers in one table."""
    columns = (sfm.SFM,)
    recipe = tiny("sfm/sparsity-weight", columns)
    result, table = run(recipe, models, tmp_path)
    has_adaptive_row(result, table)
    titles = [row[0] for row in table.rows]
    assert "pgd Linf 8/255 (surrogate)" in titles
    assert len([title for title in titles if title.startswith("pgd Linf 8/255")]) == 2
    # At this scale rho is swept.
    alternations = [each.alternation for each in recipe.defences.values()]
    assert [each.rho for each in alternations] == [1.03, 1.07, 1.15]
    assert [each.weights[0] for each in alternations] == [1.75e-3, 2.5e-3, 5e-3]
    # That of the other tables is one of them.
    gray = tiny("sfm/cifar10-gray-box").at("cpu").defences[sfm.SFM]
    assert gray.alternation in recipe.at("cpu").trainings()


def test_sfm_time(models, tmp_path):
    recipe = tiny("sfm/time-cost")
    result, table = run(recipe, models, tmp_path)
    found = cells(table)
    assert found["paper: training"][sfm.SFM] == "231.7 min"
    assert found["paper: defending"][sfm.SFM] == "0.8 min"
    assert found["paper: training"][sfm.VANILLA] == "78.9 min"
    training, defending = result["training_seconds"], result["defending_seconds"]
    small = recipe.at("cpu")
    for name, each in small.defences.items():
        own = [models.record(s)["history"]["seconds"] for s in settings_of(each)]
        assert training[name] == pytest.approx(sum(len(s) * min(s) for s in own))
        assert defending[name] > 0
    assert training[sfm.SFM] > training[sfm.VANILLA] == training[sfm.SQUEEZED]
    assert len(settings_of(small.defences[sfm.SFM])) == 2
    # Timed once.
    assert run(recipe, models, tmp_path)[0] == result


@pytest.mark.slow
def test_sfm_pictures(models, tmp_path):
    whole = tiny("sfm/pictures")
    two = {
        name: whole.at("cpu").alternations[name]
        for name in ("complete", "no semantic loss")
    }
    recipe = tiny("sfm/pictures", alternations=two)
    result, table = run(recipe, models, tmp_path)
    assert [*result["masks"]] == [row[0] for row in table.rows] == [*two]
    for figures in result["masks"].values():
        assert 0 <= figures["density"] <= 1 and 0 <= figures["accuracy"] <= 1
        picture = tmp_path / figures["picture"]
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_mad_votes(models, tmp_path):
    """Figure 2: each number of views has its interval, beside the adaptive row."""
    columns = (mad.MAD, mad.OURS)
    recipe = tiny("mad/votes", columns, timed=10)
    result, table = run(recipe, models, tmp_path)
    found = cells(table)
    assert [*found] == ["attack", *columns]
    kinds = ("clean", "pgd L1 15", "pgd L2 0.3", "pgd Linf 0.01")
    adaptive = "adaptive pgd Linf 0.01, 1 EOT sample"
    by_views = [
        f"{kind}, {views} view{'s' if views > 1 else ''}"
        for kind in (*kinds, adaptive, "worst case", "images a second")
        for views in ((1,) if "worst" in kind else range(1, 11))
    ]
    headings = [*found["attack"]]
    assert headings == [each.replace("case, 1 view", "case") for each in by_views]
    for row in Report.from_dict(result).rows:
        for name, votes in (("MAD", 10), ("ours", 8)):
            shares = row.scores[name].votes
            if shares is None:
                whole = found[name]["worst case"]
                assert whole == str(row.scores[name])
                continue
            assert len(shares) == votes
            for views, share in enumerate(shares, 1):
                low, high = wilson(share, 10)
                said = percent_with_interval(share, (low, high))
                (at,) = [
                    each
                    for each in by_views
                    if each
                    in (f"{title(row)}, {views} views", f"{title(row)}, {views} view")
                ]
                assert found[name][at] == said
            if votes == 8:
                assert found[name][f"{title(row)}, 10 views"] == "-"
    for name, early in result["early_exit"].items():
        assert early["speed-up"] > 0, name
        assert early["votes"] / 2 <= early["views"] <= early["votes"], name
    assert run(recipe, models, tmp_path)[0] == result


@pytest.mark.slow
def test_mad_remaining_perturbation(models, tmp_path):
    recipe = tiny("mad/remaining-perturbation", shares=(0.0, 0.5, 1.0))
    result, table = run(recipe, models, tmp_path)
    assert len(result["attacks"]) == 12  # each attack and norm of Table 4, once
    for figures in result["attacks"].values():
        none, _, whole = figures["accuracy"]
        # Without a perturbation all are right, for those were chosen.
        assert none == 1.0 and 0 <= whole <= 1
        for share, (low, high) in zip(
            figures["accuracy"], figures["interval_95"], strict=True
        ):
            assert 0 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1
    assert table.headings == ("attack", "0%", "50%", "100%")
    assert 0 < result["right_before"] <= result["images"] == 10
    assert run(recipe, models, tmp_path)[0] == result


# --- The cache.


def test_a_missing_library_is_noticed_before_training(tmp_path, monkeypatch):
    def require(module, extra):
        raise ImportError(f"{module}: keras-maskdef[{extra}]")

    monkeypatch.setattr(attack_table, "require", require)
    cache = ModelCache(made, tmp_path / "models")
    with pytest.raises(ImportError, match=r"foolbox: keras-maskdef\[attacks\]"):
        run_recipe(mnist(), "cpu", cache, tmp_path / "run")
    assert not cache.path.exists()


@pytest.fixture
def counted(monkeypatch):
    """Titles of the networks that are trained."""
    trained = []
    real = model_cache.train

    def train(setting, *arguments, **options):
        trained.append(setting)
        return real(setting, *arguments, **options)

    monkeypatch.setattr(model_cache, "train", train)
    return trained


NETWORK = Network("mnist", **FEW)


def test_each_network_is_trained_once(counted, tmp_path):
    models = ModelCache(made, tmp_path)
    first = models(NETWORK)
    assert models(NETWORK) is first and counted == [NETWORK]
    folder = models.folder(NETWORK)
    kept = (folder / MODEL).stat().st_mtime_ns
    again = ModelCache(made, tmp_path)
    for one, other in zip(
        again(replace(NETWORK)).get_weights(), first.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert counted == [NETWORK] and (folder / MODEL).stat().st_mtime_ns == kept
    record = models.record(NETWORK)
    assert record["setting"] == json.loads(json.dumps(asdict(NETWORK)))
    assert record["precision"] == "float32" and record["seconds"] > 0
    assert len(record["history"]["loss"]) == len(record["history"]["seconds"]) == 1
    assert record["versions"]["keras"] == keras.__version__


def test_what_differs_is_kept_apart(tmp_path):
    models = ModelCache(made, tmp_path)
    changes = [
        {"width": 3},
        {"pretrained": NETWORK},
        {"seed": 1},
        {"epochs": 2},
        {"images": 30},
        {"noise": 0.1},
        {"parseval": 1e-3},
        {"mask": mad.LENET.mask},
        {"dataset": "cifar10"},
        {"schedule": "cosine"},
    ]
    others = [replace(NETWORK, **change) for change in changes]
    alternation = Alternation(NETWORK)
    settings = [
        NETWORK,
        *others,
        alternation,
        replace(alternation, network=others[0]),
        replace(alternation, without=("semantic",)),
        Autoencoder("mnist"),
    ]
    assert len({models.folder(setting) for setting in settings}) == len(settings)
    assert not any(tmp_path.iterdir())  # asking makes none


def test_all_settings_of_the_catalogue_have_their_folder(tmp_path):
    models = ModelCache(made, tmp_path)
    settings = {
        setting
        for recipe in RECIPES.values()
        for scale in ("paper", "cpu")
        for setting in recipe.at(scale).trainings()
    }
    folders = {models.folder(setting).name for setting in settings}
    assert len(folders) == len(settings)
    assert all(len(name) < 200 and "/" not in name for name in folders)


def test_a_half_written_model_is_not_taken(counted, tmp_path, monkeypatch):
    models = ModelCache(made, tmp_path)

    def save(self, path, *arguments, **options):
        path.write_bytes(b"half of a model")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(keras.Model, "save", save)
        models(NETWORK)
    assert not (models.folder(NETWORK) / MODEL).exists()
    model = ModelCache(made, tmp_path)(NETWORK)
    assert counted == [NETWORK, NETWORK]
    outputs = model.predict(made("mnist", "train").images[:2], verbose=0)
    assert outputs.shape == (2, 10)


def test_a_finished_training_is_not_lost(counted, tmp_path, monkeypatch):
    """Killed between the last epoch and the model's file: no epoch is done again."""

    def fails(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(model_cache, "plot_curves", fails)
        ModelCache(made, tmp_path)(NETWORK)
    steps = []
    ModelCache(made, tmp_path, lambda title, total: steps.append)(NETWORK)
    assert steps.count(1) == 0


def test_the_record_says_what_was_trained(tmp_path):
    """The precision is of classifiers; other trainings have their own."""
    models = ModelCache(made, tmp_path, precision="mixed_bfloat16")
    autoencoder = Autoencoder("mnist", width=2, epochs=1)
    model = models(autoencoder)
    policies = {layer.dtype_policy.name for layer in model.layers}
    assert policies == {models.record(autoencoder)["precision"]}


def test_a_training_in_another_precision_is_another_model(counted, tmp_path):
    plain = ModelCache(made, tmp_path)
    half = ModelCache(made, tmp_path, precision="mixed_bfloat16")
    settings = NETWORK, replace(NETWORK, pretrained=NETWORK), Alternation(NETWORK)
    assert not {*map(plain.folder, settings)} & {*map(half.folder, settings)}
    autoencoder = Autoencoder("mnist")  # has its own precision
    assert plain.folder(autoencoder) == half.folder(autoencoder)
    plain(NETWORK), half(NETWORK)
    assert counted == [NETWORK, NETWORK]
    assert half.record(NETWORK)["precision"] == "mixed_bfloat16"


def waiting(models):
    """A thread that asks for a model, what it says, and what it finds."""
    said, found = queue.Queue(), []
    other = ModelCache(made, models, lambda title, total: said.put(title) or print)
    thread = threading.Thread(target=lambda: found.append(other(NETWORK)))
    return thread, said, found


def test_what_another_process_trains_is_waited_for(counted, tmp_path):
    trained = ModelCache(made, tmp_path / "elsewhere")
    trained(NETWORK)
    models = ModelCache(made, tmp_path / "models")
    folder = models.folder(NETWORK)
    folder.mkdir(parents=True)
    thread, said, found = waiting(models.path)
    with FileLock(folder / model_cache.LOCK):
        thread.start()
        assert said.get(timeout=60) == f"another process trains {NETWORK.title}"
        files = trained.folder(NETWORK)
        shutil.copytree(files, folder, dirs_exist_ok=True)
    thread.join(timeout=60)
    (model,) = found
    assert counted == [NETWORK]
    for one, other in zip(
        model.get_weights(), trained(NETWORK).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_lock_of_a_killed_process_is_free(counted, tmp_path):
    folder = ModelCache(made, tmp_path).folder(NETWORK)
    folder.mkdir(parents=True)
    holds = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); "
        "lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    lock = folder / model_cache.LOCK
    killed = subprocess.Popen(
        [sys.executable, "-c", holds, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert killed.stdout.readline() == b"held\n"
    thread, said, found = waiting(tmp_path)
    thread.start()
    assert said.get(timeout=60) == f"another process trains {NETWORK.title}"
    killed.kill()
    thread.join(timeout=120)
    killed.communicate()
    assert len(found) == 1 and counted == [NETWORK]


def test_an_unknown_setting(tmp_path):
    with pytest.raises(TypeError, match="`setting` must be a Network"):
        ModelCache(made, tmp_path)._train("lenet", tmp_path)


def test_kerass_home_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert ModelCache(made).path == tmp_path / "keras_maskdef"
    assert not any(tmp_path.iterdir())


def test_recipes_share_networks(counted, models, tmp_path):
    """The black box trains for the gray box and the white box."""
    black, gray = (
        tiny(f"sfm/svhn-{box}-box", (sfm.VANILLA,)) for box in ("black", "gray")
    )
    fresh = ModelCache(made, tmp_path)
    folders = train_recipe(black.at("cpu"), fresh)
    assert len(counted) == len(folders) == 2
    assert [*train_recipe(gray.at("cpu"), fresh)][0] in folders
    assert len(counted) == 2
    assert all((folder / RECORD).exists() for folder in folders)


def test_data_are_read_once(tmp_path):
    read = []

    def load(dataset, part):
        read.append((dataset, part))
        return made(dataset, part)

    models = ModelCache(load, tmp_path)
    assert len(models.data("mnist", "train").images) == 40
    few = models.data("mnist", "train", 3)
    assert len(few.images) == len(few.labels) == 3 and len(few.class_names) == 10
    models.data("mnist", "held out")
    assert read == [("mnist", "train"), ("mnist", "held out")]


# --- Runs that are stopped.


@pytest.fixture(scope="module")
def finished(folder):
    """A run that nothing stopped, in its own place beside the models."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)
        done = run_recipe(mnist(match_images=10), "cpu", ModelCache(made, folder))
    return folder / "runs" / "mad-mnist-lenet-cpu", done


def test_matched_rows_have_the_papers_figures(finished):
    """Each beside its row of the paper; no other row has any."""
    defence = cells(finished[1].table)["MAD (paper / here)"]
    for row, figure in (("pgd L1", "71.8"), ("pgd L2", "77.9"), ("pgd Linf", "70.9")):
        figures = [cell for name, cell in defence.items() if name.startswith(row)]
        assert [cell.split(" / ")[0] for cell in figures] == [figure] * 2, row
    assert all("matched" in name for name in [*defence][2:7:2])
    quoted = [cell for name, cell in defence.items() if name[0] in "aw"]
    assert len(quoted) == 2 and all(" / " not in cell for cell in quoted)


def test_a_warning_is_said_once_for_all_columns_that_it_is_about(finished):
    found = dict(finished[1].results["result"])
    said = [("A", "no masks", "x: y"), ("A", "MAD", "x: y"), ("B", "MAD", "z")]
    found["warnings"] = [
        {"name": name, "message": f"{column}: {text}"} for name, column, text in said
    ]
    notes = mnist(match_images=10).at("cpu").table(found).notes
    assert notes[-2:] == ["A: no masks, MAD: x: y.", "B: MAD: z."]


def without_times(results):
    result = {key: each for key, each in results["result"].items() if key != "speed"}
    return json.dumps({**results, "result": result})


def no_search(*arguments, **options):
    raise AssertionError("searched again")


def test_an_interrupted_run_goes_on(finished, models, tmp_path, monkeypatch):
    recipe = mnist(match_images=10)
    pieces = []

    def start(title, total):
        def advance(steps):
            pieces.append(title)
            if pieces.count("adaptive: pgd Linf, 1 EOT sample") == 2:
                raise KeyboardInterrupt

        return advance

    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, "cpu", models, tmp_path, start)
    assert not (tmp_path / "results.json").exists()
    outcomes = [*(tmp_path / "run" / "outcomes").glob("[!.]*.npz")]
    kept = {path: path.stat().st_mtime_ns for path in outcomes}
    assert kept
    matched = (tmp_path / "matched.json").read_bytes()
    monkeypatch.setattr(paper_evaluation, "match_strength", no_search)
    found = run_recipe(recipe, "cpu", ModelCache(made, models.path), tmp_path).results
    assert without_times(found) == without_times(finished[1].results)
    assert (tmp_path / "matched.json").read_bytes() == matched
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_run_without_its_results(finished, models, tmp_path, monkeypatch):
    """All else is there, and nothing is measured again."""
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    monkeypatch.setattr(paper_evaluation, "match_strength", no_search)
    run_recipe(mnist(match_images=10), "cpu", models, tmp_path / "run")
    for name in ("results.json", "matched.json", "config.json"):
        again = (tmp_path / "run" / name).read_bytes()
        assert again == (finished[0] / name).read_bytes()


def test_a_folder_is_of_one_recipe_and_scale(models, tmp_path, counted):
    recipe = mnist()
    config = {
        "recipe": recipe.name,
        "scale": "cpu",
        "setting": recipe.at("cpu").plain(),
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    other = tiny("mad/svhn-resnet18")
    bigger = mnist(images=11)
    for wrong, scale, what in (
        (other, "cpu", "recipe"),
        (recipe, "paper", "scale"),
        (bigger, "cpu", "setting"),
    ):
        with pytest.raises(ValueError, match=f"another configuration.*{what}"):
            run_recipe(wrong, scale, models, tmp_path)
    with pytest.raises(ValueError, match="`scale` must be one of"):
        run_recipe(recipe, "gpu", models, tmp_path / "new")
    assert not counted  # refused before anything is trained
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_damaged_file_of_a_run_is_named(finished, models, tmp_path):
    """A search that was being written when the machine stopped."""
    shutil.copytree(finished[0], tmp_path / "run")
    matched = tmp_path / "run" / "matched.json"
    whole = matched.read_text()
    matched.write_text(whole[: len(whole) // 2])
    with pytest.raises(OSError, match="matched.json is damaged"):
        run_recipe(mnist(match_images=10), "cpu", models, tmp_path / "run")


def test_figures_say_how_many_images(finished):
    """No figure without its number of images, on screen and on a page."""
    assert re.search(r"\b10\b.*images", " ".join(finished[1].table.notes))


def test_results_are_json_for_everybody(finished):
    """There is no NaN in JSON."""

    def strict(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = (finished[0] / "results.json").read_text()
    assert json.loads(text, parse_constant=strict)


# --- The command.


def command(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def few_recipes(monkeypatch):
    recipes = {"mad/mnist-lenet": mnist(), "sfm/time-cost": tiny("sfm/time-cost")}
    monkeypatch.setattr(catalogue, "RECIPES", recipes)
    asked = []

    def load(name, split="train", data_dir=None, download=False):
        asked.append((name, split, data_dir, download))
        return made(name, "train" if split == "train" else "held out")

    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setenv("COLUMNS", "200")
    return asked


def test_recipes_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert command("recipes") == 0
    printed = capsys.readouterr().out
    for name, recipe in RECIPES.items():
        assert name in printed and recipe.title in printed
        assert command("recipes", name) == 0
        described = " ".join(capsys.readouterr().out.split())
        assert recipe.title in described
        for cut in recipe.cuts():
            assert " ".join(cut.split()) in described
        for scale in ("paper", "cpu"):
            for setting in recipe.at(scale).trainings():
                assert f"{setting.title}, {setting.epochs} epochs" in described


def test_train_and_evaluate_by_name(few_recipes, folder, tmp_path, capsys):
    cache, output = tmp_path / "cache", tmp_path / "run"
    common = ("mad/mnist-lenet", "--scale", "cpu", "--cache", cache)
    assert command("recipe", *common, "--train-only", "--data-dir", tmp_path) == 0
    (trained,) = cache.iterdir()
    assert trained.name in "".join(capsys.readouterr().out.split())
    assert (trained / MODEL).exists()
    assert few_recipes == [("mnist", "train", str(tmp_path), False)]
    kept = (trained / MODEL).stat().st_mtime_ns
    assert command("recipe", *common, "--output", output) == 0
    printed = capsys.readouterr().out
    assert (trained / MODEL).stat().st_mtime_ns == kept
    flat = " ".join(printed.split())
    for text in ("MAD, Table 5", "--scale cpu", "instead of", "adaptive", "16.0 /"):
        assert text in flat, text
    for line in mnist().cuts():
        assert line in flat
    for name in ("config.json", "results.json", "figures.png"):
        assert (output / name).exists()
    before = (output / "results.json").read_bytes()
    assert command("recipe", *common, "--output", output) == 0  # resumes
    assert (output / "results.json").read_bytes() == before
    assert command("recipe", *common, "--train-only") == 0
    assert (trained / MODEL).stat().st_mtime_ns == kept
    capsys.readouterr()
    other = ("sfm/time-cost", "--scale", "cpu", "--cache", cache)
    assert command("recipe", *other, "--output", output) == 2
    assert "another configuration" in capsys.readouterr().err
