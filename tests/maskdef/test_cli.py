import json
import logging
import os
import shlex
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_maskdef as kmd
from keras_maskdef import datasets
from maskdef import certify, evaluate, main, train
from maskdef import command as commands
from maskdef.former import in_todays_form


@pytest.fixture(autouse=True)
def few_training_images(monkeypatch):
    """What a command prints and writes does not depend on their number."""
    load = datasets.load

    def few(name, split="train", *arguments, **options):
        return load(name, f"{split}[:320]" if split == "train" else split, *arguments)

    monkeypatch.setattr(datasets, "load", few)


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_help_ends_in_examples_that_can_be_typed(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        run(command, "--help")
    _, _, examples = capsys.readouterr().out.partition("examples:")
    lines = examples.replace("\\\n", " ").strip().splitlines()
    assert lines and "(default: None)" not in examples
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "maskdef"
        assert commands.make_parser().parse_args(arguments).command in line


def test_help_needs_neither_keras_nor_tensorflow():
    lines = (
        "import sys, maskdef",
        "try: maskdef.main(['train', 'sfm', '--help'])",
        "except SystemExit: pass",
        "assert not {'keras', 'tensorflow', 'numpy', 'rich'} & {*sys.modules}",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_choices_are_those_of_the_library():
    from keras_maskdef import architectures
    from keras_maskdef.certification import methods, threats
    from keras_maskdef.evaluation import threat_models

    assert {*evaluate.THREAT_MODELS, "adaptive"} == {*threat_models.THREAT_MODELS}
    assert evaluate.SAMPLES == threat_models.SAMPLES
    assert certify.METHODS == methods.METHODS and certify.THREATS == threats.THREATS
    assert {*train.ARCHITECTURES} < {*architectures.__all__}


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ("train --output x.keras", "train mad --output x.keras"),
        ("train --defence sfm --rho 2", "train sfm --rho 2"),
        ("train --epochs 3 --defence=certified", "train certified --epochs 3"),
        ("train --recipe mad/votes --scale cpu", "recipe mad/votes --train-only"),
        ("evaluate --scale cpu --recipe mad/votes", "recipe mad/votes --scale cpu"),
    ],
)
def test_former_commands_still_work(former, today, capsys):
    found = in_todays_form(former.split())
    assert " ".join(found).startswith(today)
    assert f"`maskdef {former}` is now `maskdef {today}" in capsys.readouterr().err
    assert in_todays_form(found) == found
    assert capsys.readouterr().err == ""
    commands.make_parser().parse_args([*found, *_required(found)])


def _required(arguments):
    missing = arguments[0] == "train" and "--output" not in arguments
    return ["--output", "x.keras"] * missing


def test_the_command_says_nothing_of_its_own(tmp_path):
    """TensorFlow's greeting goes past Python; what fails is still seen."""
    environment = {**os.environ}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, "-m", "maskdef", "recipes"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True}
    done = subprocess.run(command, env=environment, **options)
    assert done.returncode == 0 and "mad/mnist-lenet" in done.stdout
    assert done.stderr == ""
    environment["KERAS_BACKEND"] = "nonsense"
    done = subprocess.run(command, env=environment, **options)
    assert done.returncode != 0 and "nonsense" in done.stderr


def test_demo_writes_a_table_and_pictures(tmp_path, capsys):
    output = tmp_path / "out"
    status = run("demo", "--epochs", 1, "--images", 12, "--output", output)
    assert status == 0
    table = capsys.readouterr().out
    for word in ("clean", "fgsm", "bim", "pgd", "deepfool", "adaptive", "12 test"):
        assert word in table
    rows = json.loads((output / "report.json").read_text())["rows"]
    assert len(rows) == 8
    assert all(len(row["scores"]) == 4 for row in rows)
    for picture in ("accuracy.png", "votes.png"):
        assert (output / picture).read_bytes().startswith(b"\x89PNG")


QUICK = ("--images", 8, "--attacks", "fgsm", "--eot-samples", 1, "--repeats", 2)


def columns(folder):
    return list(json.loads((folder / "results.json").read_text())["defences"])


def test_five_models_are_not_one_that_is_retraced(caplog):
    assert main(["recipes"]) == 0
    models = [keras.Sequential([keras.layers.Flatten()]) for _ in range(8)]
    for model in models:
        model.predict_on_batch(np.zeros((1, 2, 2, 1)))
    logging.getLogger("tensorflow").warning("what else it has to say")
    assert caplog.messages == ["what else it has to say"]


def test_train_then_evaluate_then_report(tmp_path, capsys):
    run_folder = tmp_path / "run"
    arguments = ("--epochs", 1, "--vote", "both", "--output", tmp_path / "digits.keras")
    assert run("train", "mad", *arguments) == 0
    models = [tmp_path / f"digits-{vote}.keras" for vote in ("paper", "partition")]
    assert run("evaluate", *models, *QUICK, "--output", run_folder) == 0
    rows = json.loads((run_folder / "results.json").read_text())["rows"]
    assert [row["threat_model"] for row in rows] == [
        "none",
        "noise",
        "classifier",
        "adaptive",
        "union",
    ]
    assert columns(run_folder) == [
        "bare classifier",
        "digits-paper",
        "digits-partition",
    ]
    last = " ".join(capsys.readouterr().out.split())
    assert (run_folder / "report.html").as_uri() in last.replace(" ", "")
    assert run("report", run_folder, "--output", tmp_path / "page") == 0
    page = (tmp_path / "page" / "report.html").read_text()
    assert "digits-partition" in page and "adaptive" in page
    assert len(list((tmp_path / "page" / "pictures").glob("*.png"))) >= 3
    # A run is not overwritten, and a resumed one is done at once.
    assert run("evaluate", *models, *QUICK, "--output", run_folder) == 2
    assert "resume" in capsys.readouterr().err
    before = (run_folder / "results.json").read_bytes()
    assert run("evaluate", *models, *QUICK, "--output", run_folder, "--resume") == 0
    assert (run_folder / "results.json").read_bytes() == before


def test_train_without_masks_then_evaluate_in_parts(tmp_path, capsys):
    model = tmp_path / "plain.keras"
    assert run("train", "mad", "--epochs", 1, "--vote", "none", "--output", model) == 0
    quick = (*QUICK, "--batch-size", 4)
    parts = [tmp_path / "a", tmp_path / "b"]
    for number, part in enumerate(parts, 1):
        shard = ("--shard", f"{number}/2", "--output", part)
        assert run("evaluate", model, *quick, *shard) == 0
    assert run("merge", *parts, "--output", tmp_path / "whole") == 0
    assert columns(tmp_path / "whole") == ["plain"]
    capsys.readouterr()
    assert run("merge", parts[0], "--output", tmp_path / "half") == 2
    assert "parts 1/2" in capsys.readouterr().err
    assert run("evaluate", model, model, *QUICK) == 2
    assert "different names" in capsys.readouterr().err


def test_evaluate_and_certify_in_another_range(tmp_path):
    """The same model behind a `Rescaling` is as strong as it is on [0, 1]."""
    plain, scaled = tmp_path / "plain.keras", tmp_path / "scaled.keras"
    keras.utils.set_random_seed(0)
    images, labels, _ = datasets.sample("train[:300]")
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    classifier = keras.Sequential([keras.Input(images.shape[1:]), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training = kmd.VotingEnsemble(classifier, kmd.RandomGridMask(7, (0.0, 0.8)))
    training.compile("adam", loss)
    training.fit(images, labels, epochs=20, verbose=0)
    rescaling = keras.layers.Rescaling(1 / 255)
    behind = keras.Sequential([keras.Input(images.shape[1:]), rescaling, classifier])
    for path, model in ((plain, classifier), (scaled, behind)):
        vote = kmd.VotingEnsemble(model, kmd.RandomGridMask(7, 0.5, seed=0))
        vote(images[:1])
        vote.save(path)
    scores, certificates = [], []
    for path, scale, option in ((plain, 1, ()), (scaled, 255, (0, 255))):
        given = ("--images", 10, *(("--value-range", *option) if option else ()))
        one = ("--attacks", "fgsm", "--epsilon", 0.1 * scale, "--eot-samples", 1)
        folder = tmp_path / path.stem
        assert run("evaluate", path, *given, *one, "--output", folder) == 0
        rows = json.loads((folder / "results.json").read_text())["rows"]
        # The masks of the vote depend on the names of columns and sizes.
        scores.append([row["scores"]["bare classifier"]["accuracy"] for row in rows])
        proof = ("--method", "double_masking", "--sizes", 1)
        output = ("--output", folder / "proof")
        assert run("certify", path, *given, *proof, *output) == 0
        found = json.loads((folder / "proof/certificates.json").read_text())
        certificates.append(found["rows"])
    assert scores[0] == scores[1] and len(set(scores[0])) > 1
    assert certificates[0] == certificates[1]
    assert any(row["coverage"] for row in certificates[0])


def test_train_a_masker(tmp_path, capsys):
    model = tmp_path / "digits.keras"
    short = ("--epochs", 1, "--pretraining-epochs", 1, "--architecture", "convnet")
    options = ("--width", 2, "--rho", 1.3, "--median", 3, "--train-on", "filtered")
    pictures = ("--pictures", tmp_path / "pictures", "--output", model)
    assert run("train", "sfm", *short, *options, *pictures) == 0
    printed = capsys.readouterr().out
    assert "density of the mask" in printed and "(1000 held-out)" in printed
    for picture in ("masks.png", "alternation.png"):
        written = (tmp_path / "pictures" / picture).read_bytes()
        assert written.startswith(b"\x89PNG")
    kinds = [type(x).__name__ for x in keras.saving.load_model(model).layers]
    assert kinds == ["InputLayer", "SparseFeatureMasker", "MedianFilter", "Functional"]


def test_train_then_certify(tmp_path, capsys):
    model, folder = tmp_path / "digits.keras", tmp_path / "run"
    rates = ("--train-rates", 0.2, 0.8, "--mask-rate", 0.8, "--cell-size", 9)
    certified = ("train", "certified", *rates, "--epochs", 2)
    assert run(*certified, "--output", model) == 0
    assert f"maskdef certify {model}" in " ".join(capsys.readouterr().out.split())
    mask = keras.saving.load_model(model).train_mask
    assert mask.mask_rate == (0.2, 0.8) and mask.fill_value == 0.5
    exact = ("certify", model, "--images", 4, "--output", folder)
    plot = tmp_path / "curves.png"
    assert run(*exact, "--plot", plot) == 0
    table = "".join(capsys.readouterr().out.split())  # lines break anywhere
    assert "anypatch" in table and "Linf" in table and "certificates.json" in table
    assert plot.read_bytes().startswith(b"\x89PNG")
    results = (folder / "certificates.json").read_bytes()
    settings = json.loads(results)["settings"]
    assert settings["mask_rate"] == 0.8 and settings["sampling"] == "fixed_count"
    assert run(*exact) == 2
    assert "resume" in capsys.readouterr().err
    assert run("merge", folder, "--output", tmp_path / "merged") == 2
    assert "a run of another kind" in capsys.readouterr().err
    assert run(*exact, "--resume") == 0
    assert (folder / "certificates.json").read_bytes() == results
    other = ("--sampling", "bernoulli", "--mask-rate", 0.9, "--samples", 300)
    sizes = ("--threats", "cells", "--sizes", 1, 3, "--alpha", 0.01)
    sampled = ("--method", "per_set", *other, *sizes, "--output", tmp_path / "other")
    assert run("certify", model, "--images", 2, *sampled) == 0
    settings = json.loads((tmp_path / "other/certificates.json").read_text())[
        "settings"
    ]
    assert settings["mask_rate"] == 0.9 and settings["alpha"] == 0.01
    assert settings["attacks"] == [["cells", 1], ["cells", 3]]
    assert run("certify", model, "--method", "exact", "--alpha", 0.01) == 2
    assert "`--alpha` is an option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--images", "0"], "--images: must be at least 1, received 0"),
        (["demo", "--epsilon", "1.5"], "--epsilon: must be in (0, 1], received 1.5"),
        (["demo", "--epsilon", "nan"], "--epsilon: must be in (0, 1], received nan"),
        ("train mad --mask-rate 1".split(), "--mask-rate: must be in [0, 1)"),
        ("train sfm --rho 0".split(), "--rho: must be above 0, received 0"),
        ("train mad --output x.h5".split(), "must end in .keras, received x.h5"),
        (["train", "mad"], "required: --output"),
        (["train"], "required: DEFENCE"),
        ("train smf --output x.keras".split(), "invalid choice: 'smf'"),
        ("train mad --rho 2 --output x.keras".split(), "arguments: --rho 2"),
        ("train sfm --vote none --output x.keras".split(), "arguments: --vote none"),
        ("train mad --width 2 --output x.keras".split(), "arguments: --width 2"),
        (["evaluate"], "required: models"),
        ("recipe mad/votes --epochs 3".split(), "arguments: --epochs 3"),
        ("evaluate x.keras --scale cpu".split(), "arguments: --scale cpu"),
        (["evaluate", "m.keras", "--shard", "3/2"], "--shard: must be I/N"),
        (["evaluate", "m.keras", "--epsilon", "0"], "--epsilon: must be above 0"),
        (["evaluate", "m.keras", "--threat-models", "psychic"], "invalid choice"),
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
        (["demo", "--dataset", "digits"], "Received: source='digits'"),
        (["demo", "--images", "1001"], "1000 images that there are"),
        (["demo", "--dataset", "mnist", "--data-dir", "/nowhere"], "/nowhere"),
        (["evaluate", "nowhere.keras"], "nowhere.keras"),
        (["recipe", "mad/none"], "`recipe` must be one of mad/mnist-lenet"),
        ("recipe mad/votes --train-only --output x".split(), "`--output` must be left"),
        (["recipes", "none"], "`recipe` must be one of"),
        (["certify", "nowhere.keras"], "nowhere.keras"),
        (["certify", "nowhere.keras", "--resume"], "`--output` folder"),
        (
            "certify x.keras --method double_masking --mask-rate 0.9".split(),
            "`--mask-rate` plays no part",
        ),
        (["report", "nowhere"], "nowhere"),
        (["merge", "nowhere", "--output", "x"], "nowhere"),
        ("train mad --mask-rate 0.7 --output x.keras".split(), "0.6667 or 0.75"),
        ("train mad --cell-size 99 --output x.keras".split(), "cell_size=99"),
        ("train mad --architecture vgg16 --output x.keras".split(), "input_shape"),
        ("train sfm --width 2 --output x.keras".split(), "`width` must be left out"),
        (
            "train certified --width 2 --output x.keras".split(),
            "`width` must be left out",
        ),
        (
            "train certified --train-rates 0.8 0.1 --output x.keras".split(),
            "lowest and the highest",
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
