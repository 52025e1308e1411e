import json

import keras
import pytest

from keras_maskdef.cli import main


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_demo_writes_a_table_and_pictures(tmp_path, capsys):
    output = tmp_path / "out"
    status = run("demo", "--epochs", 1, "--images", 12, "--output", output)
    assert status == 0
    table = capsys.readouterr().out
    for word in ("clean", "fgsm", "bim", "pgd", "deepfool", "adaptive", "12 test"):
        assert word in table
    rows = json.loads((output / "report.json").read_text())["rows"]
    assert len(rows) == 6
    assert all(len(row["scores"]) == 4 for row in rows)
    for picture in ("accuracy.png", "votes.png"):
        assert (output / picture).read_bytes().startswith(b"\x89PNG")


def test_train_then_evaluate(tmp_path, capsys):
    model, report = tmp_path / "digits.keras", tmp_path / "report.json"
    assert run("train", "--epochs", 1, "--output", model) == 0
    arguments = ("--images", 10, "--attacks", "fgsm", "--output", report)
    assert run("evaluate", model, *arguments) == 0
    rows = json.loads(report.read_text())["rows"]
    assert [row["attack"] for row in rows] == ["clean", "fgsm", "adaptive pgd"]
    assert list(rows[0]["scores"]) == ["its bare classifier", "digits"]
    assert "digits" in capsys.readouterr().out


def test_train_without_masks(tmp_path):
    model = tmp_path / "plain.keras"
    assert run("train", "--epochs", 1, "--vote", "none", "--output", model) == 0
    report = tmp_path / "plain.json"
    arguments = ("--images", 5, "--attacks", "fgsm", "--output", report)
    assert run("evaluate", model, *arguments) == 0
    assert list(json.loads(report.read_text())["rows"][0]["scores"]) == ["plain"]


def test_train_a_masker_then_evaluate(tmp_path, capsys):
    model, report = tmp_path / "digits.keras", tmp_path / "report.json"
    short = ("--epochs", 1, "--pretraining-epochs", 1, "--architecture", "convnet")
    options = ("--width", 2, "--rho", 1.3, "--median", 3, "--train-on", "filtered")
    pictures = ("--pictures", tmp_path / "pictures", "--output", model)
    assert run("train", "--defence", "sfm", *short, *options, *pictures) == 0
    printed = capsys.readouterr().out
    assert "density of the mask" in printed and "(1000 held-out)" in printed
    for picture in ("masks.png", "alternation.png"):
        written = (tmp_path / "pictures" / picture).read_bytes()
        assert written.startswith(b"\x89PNG")
    kinds = [type(x).__name__ for x in keras.saving.load_model(model).layers]
    assert kinds == ["InputLayer", "SparseFeatureMasker", "MedianFilter", "Functional"]
    arguments = ("--images", 10, "--attacks", "fgsm", "--output", report)
    assert run("evaluate", model, *arguments) == 0
    rows = json.loads(report.read_text())["rows"]
    assert list(rows[0]["scores"]) == ["its bare classifier", "digits"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--images", "0"], "--images: must be at least 1, received 0"),
        (["demo", "--epsilon", "1.5"], "--epsilon: must be in (0, 1], received 1.5"),
        (["demo", "--epsilon", "nan"], "--epsilon: must be in (0, 1], received nan"),
        (["train", "--mask-rate", "1"], "--mask-rate: must be in [0, 1), received 1"),
        (["train", "--rho", "0"], "--rho: must be above 0, received 0"),
        (["train"], "the following arguments are required: --output"),
        (["train", "--output", "x.h5"], "must end in .keras, received x.h5"),
        (["evaluate", "m.keras", "--attacks", "jsma"], "invalid choice: 'jsma'"),
        ([], "required: COMMAND"),
    ],
)
def test_arguments_are_checked(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--dataset", "digits"], "Received: name='digits'"),
        (["demo", "--images", "1001"], "1000 images that there are"),
        (["demo", "--dataset", "mnist", "--data-dir", "/nowhere"], "/nowhere"),
        (["evaluate", "nowhere.keras"], "nowhere.keras"),
        (["train", "--mask-rate", "0.7", "--output", "x.keras"], "0.6667 or 0.75"),
        (["train", "--cell-size", "99", "--output", "x.keras"], "cell_size=99"),
        (["train", "--architecture", "vgg16", "--output", "x.keras"], "input_shape"),
        (["train", "--rho", "2", "--output", "x.keras"], "`--defence sfm`"),
        (
            ["train", "--defence", "sfm", "--vote", "none", "--output", "x.keras"],
            "`--vote` is an option of `--defence mad`",
        ),
        (
            ["train", "--defence", "sfm", "--width", "2", "--output", "x.keras"],
            "`width` must be left out",
        ),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskdef: error: ")
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())
