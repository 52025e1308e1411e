import keras
import numpy as np
import pytest
import toy

from keras_maskdef.attacks import Target, craft
from keras_maskdef.evaluation import AttackSetting
from keras_maskdef.evaluation.matched import match_strength
from keras_maskdef.papers.paper_evaluation import table_run
from keras_maskdef.papers.paper_tables import TABLES, PaperRow, PaperTable


@pytest.mark.parametrize(
    ("name", "norm", "first"),
    [("fgsm", "linf", 0.4), ("bim", "l2", 0.001), ("deepfool", "l2", 0.5)],
)
def test_the_accuracy_is_reached(name, norm, first):
    model, (images, labels) = toy.classifier(), toy.data(100)
    setting = AttackSetting(name, norm, first)
    found = match_strength(model, (images, labels), setting, accuracy=0.5)
    assert abs(found.accuracy - 0.5) <= 0.04
    right = model.predict(images, verbose=0).argmax(-1) == labels
    made = craft(name, model, images, labels, found.setting.epsilon, norm)
    left = model.predict(made, verbose=0).argmax(-1) == labels
    assert left[right].mean() == pytest.approx(found.accuracy)


@pytest.mark.parametrize(
    ("name", "norm", "size"), [("fgsm", "linf", 0.1), ("deepfool", "l2", 0.5)]
)
def test_the_size_is_on_the_scale_of_the_images(name, norm, size):
    model, (images, labels) = toy.classifier(), toy.data(60)
    images = np.round(images * 256) / np.float32(256)
    bytes_in = keras.Sequential(
        [keras.Input(images.shape[1:]), keras.layers.Rescaling(1 / 256), model]
    )
    unit = match_strength(model, (images, labels), AttackSetting(name, norm, size), 0.5)
    data, setting = (256 * images, labels), AttackSetting(name, norm, 256 * size)
    for attacked in (bytes_in, Target(bytes_in, (0, 256))):
        found = match_strength(attacked, data, setting, 0.5, value_range=(0, 256))
        assert found.setting.epsilon == pytest.approx(256 * unit.setting.epsilon, 0.01)
        assert found.accuracy == pytest.approx(unit.accuracy, abs=0.03)
    with pytest.raises(ValueError, match=r"`images` must lie in \[0, 1\]"):
        match_strength(bytes_in, data, setting, 0.5)


def test_an_accuracy_out_of_reach_gives_the_nearest():
    model, data = toy.classifier(), toy.data(30)
    whole = match_strength(model, data, AttackSetting("fgsm", "linf", 0.1), 1.0)
    assert whole.accuracy == 1.0 or whole.setting.epsilon < 0.01
    with pytest.raises(ValueError, match="accuracy=1.5"):
        match_strength(model, data, AttackSetting("fgsm", "linf", 0.1), 1.5)
    wrong = (data[0], (data[1] + 1) % 3)
    kept = model.predict(data[0], verbose=0).argmax(-1) == data[1]
    with pytest.raises(ValueError, match="wrong on all"):
        match_strength(
            model,
            (wrong[0][kept], wrong[1][kept]),
            AttackSetting("fgsm", "linf", 0.1),
            0.5,
        )


def test_a_table_runs_in_both_strengths():
    rows = (
        PaperRow("pgd", "linf", 0.01, "foolbox", {"attack": 0.4, "defence": 0.8}),
        PaperRow("fgsm", "linf", 0.02, "foolbox", {"attack": 0.6, "defence": 0.7}),
    )
    names = ("attack", "defence")
    clean = {"attack": None, "defence": 0.9}
    model = ("mnist", "lenet")
    table = PaperTable(
        "made", "Made up", *model, "classifier", names, rows, clean, *names
    )
    run = table_run(table, toy.vote(), toy.data(60))
    assert run.attacks[:2] == [
        AttackSetting("pgd", "linf", 0.01, "foolbox"),
        AttackSetting("fgsm", "linf", 0.02, "foolbox"),
    ]
    matched = run.attacks[2:]
    assert [setting.name for setting in matched] == ["pgd", "fgsm"]
    assert run.adaptive == [matched[0]]
    key = ("classifier", "pgd", "linf", matched[0].epsilon)
    assert run.paper[key] == {"attack": 0.4, "defence": 0.8, "epsilon": 0.01}
    alone = table_run(table, toy.vote(), toy.data(4), match_images=0)
    assert alone.attacks == run.attacks[:2]
    assert alone.adaptive == [run.attacks[0]]


def test_tables_have_names():
    assert TABLES["sfm/table1-cifar10"].threat_model == "surrogate"
    assert np.isfinite([row.epsilon for t in TABLES.values() for row in t.rows]).all()
