"""Folders of runs that disks have damaged, or strangers have made."""

import json
import shutil
import tracemalloc

import keras
import numpy as np
import pytest
import run_mutations
import toy
from made_run import VOTING, made_gallery, made_results, write_run
from meanwhile import begin_meanwhile

import keras_maskdef as kmd
from keras_maskdef.certification import Certificate, Certificates
from keras_maskdef.core import checked_files, intervals
from keras_maskdef.core.run_folder import RESULTS, RunFolder
from keras_maskdef.evaluation import AttackSetting, Defence, evaluate, gallery, outcomes
from keras_maskdef.evaluation.merge import merge
from keras_maskdef.reporting import run_pictures
from keras_maskdef.reporting.html_report import write_report
from keras_maskdef.results import saved_run
from maskdef import main

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run_mutations.make(folder)
    return folder


@pytest.fixture
def runs(made, tmp_path):
    """A copy of the runs, to be changed."""
    return shutil.copytree(made, tmp_path / "runs")


def merged(runs):
    parts = [runs / part for part in run_mutations.PARTS]
    merge(parts, runs / "merged")
    return (runs / "merged" / RESULTS).read_bytes()


def change_configs(runs, change):
    for part in run_mutations.PARTS:
        path = runs / part / "config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_changed_runs_are_an_error_that_says_what_or_a_result(made, first):
    for seed in range(first, first + 10):
        run_mutations.check_drawn(made, seed)


def changed(plain, *places, to):
    """A copy of plain data with another value at a place."""
    copy = holder = json.loads(json.dumps(plain))
    for place in places[:-1]:
        holder = holder[place]
    holder[places[-1]] = to
    return copy


# The folder that is read first.
CHANGED = {
    "report": run_mutations.WHOLE,
    "merge": run_mutations.PARTS[0],
    "resume": run_mutations.WHOLE,
}
SCORE = ("rows", 3, "scores", VOTING)


@pytest.mark.parametrize(
    ("places", "value", "said"),
    [
        ((*SCORE, "accuracy"), float("nan"), "NaN is no finite number"),
        ((*SCORE, "accuracy"), 1.01, r"rows\[3\].*accuracy.*1.01 is greater"),
        ((*SCORE, "accuracy"), True, "True is not of type"),
        ((*SCORE, "interval_95"), [0.5], r"\[0.5\] is too short"),
        ((*SCORE, "interval_95"), [0.5, float("inf")], "Infinity is no finite number"),
        ((*SCORE, "interval_95"), [0.5, 0.4], "0.5 is above 0.4"),
        ((*SCORE, "images"), 10**9, "1000000000 is greater"),
        (("defences", VOTING, "bare"), "nobody", "'nobody' is none of the defences"),
        (("class_names", 2), 7, r"class_names\[2\]: 7 is not of type 'string'"),
        (("notes",), ["\ud800"], "surrogates"),
        (("settings", "more"), json.loads("[" * 80 + "]" * 80), "nested too deep"),
    ],
)
def test_results_that_no_run_writes(places, value, said, tmp_path):
    results = changed(made_results(), *places, to=value)
    run = write_run(tmp_path, results, gallery=False, speed=False)
    with pytest.raises(OSError, match=f"results.json is damaged .*{said}"):
        write_report(run)


@pytest.mark.parametrize(
    ("places", "key"),
    [((), "rows"), ((), "notes"), (("rows", 3), "epsilon"), (SCORE, "images")],
)
def test_results_without_a_key(places, key, tmp_path):
    results = made_results()
    holder = results
    for place in places:
        holder = holder[place]
    del holder[key]
    run = write_run(tmp_path, results, gallery=False, speed=False)
    with pytest.raises(OSError, match=f"damaged .*'{key}' is a required property"):
        write_report(run)


@pytest.mark.parametrize(
    ("rows", "columns", "votes", "said"),
    [
        (300, 8, 1, None),
        (301, 3, 1, r"\$.rows: .*is too long"),
        (9000, 3, 1, "larger than 8 MiB"),
        (25, 41, 1, r"\$.defences: .*too many properties"),
        (61, 40, 1, "2,440 rows times columns, and at most 2,400 are reported"),
        (
            101,
            1,
            2000,
            "202,000 accuracies by the number of votes, and at most 200,000",
        ),
        (20, 20, 2000, "larger than 8 MiB"),
    ],
)
def test_results_are_no_more_than_a_report_can_show(
    rows, columns, votes, said, tmp_path
):
    results = made_results()
    one = {**results["rows"][0]["scores"][VOTING], "votes": [0.123456789] * votes}
    scores = {str(number): one for number in range(columns)}
    clean, *_, adaptive, union = results["rows"]
    adaptive["epsilon"] = None  # no curves
    results["rows"] = [clean, *[adaptive] * (rows - 2), union]
    for row in results["rows"]:
        row["scores"] = scores
    results["defences"] = {name: {"bare": "0", "votes": None} for name in scores}
    path = write_run(tmp_path, results, gallery=False, speed=False) / RESULTS
    if said is None:
        assert len(saved_run.read_report(path).rows) == rows
        return
    with pytest.raises(OSError, match=f"results.json is damaged .*{said}"):
        write_report(tmp_path)


def test_results_of_more_threat_models_than_there_are(tmp_path):
    results = made_results()
    results["rows"][1:1] = [
        {**results["rows"][1], "threat_model": f"t{n}"} for n in range(20)
    ]
    run = write_run(tmp_path, results, gallery=False, speed=False)
    with pytest.raises(OSError, match="damaged .28 threat models, and at most 20"):
        write_report(run)


def test_a_run_that_could_not_be_reported_is_refused_before_it_is_done(tmp_path):
    attacks = [AttackSetting("fgsm", "linf", 0.001 * n) for n in range(1, 200)]
    with pytest.raises(
        ValueError, match="divide them. Received: .* rows, and at most 3"
    ):
        evaluate(toy.vote(), toy.data(2), attacks, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_of_very_many_curves_those_who_know_most_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(run_pictures, "_MOST_CURVES", 2)
    results = made_results()
    page, *pictures = write_report(write_run(tmp_path, results, False, False))
    assert [path.name for path in pictures][:2] == ["epsilons-5.png", "epsilons-7.png"]
    assert "6 more attacks are in the tables alone." in page.read_text("utf-8")


def test_wilsons_intervals_of_many_are_those_of_one():
    for trials in (1, 7, 1000, 10**7):
        shares = np.array([0, 1 / trials, 0.25, 1 - 1 / trials, 1])
        expected = [intervals.wilson(share, trials) for share in shares]
        found = intervals.wilson_of_many(shares, trials)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("key", ["columns", "judgements", "seed", "plan"])
def test_a_configuration_without_a_key(key, runs):
    change_configs(runs, lambda config: config.pop(key))
    with pytest.raises(OSError, match=f"damaged .*'{key}' is a required property"):
        merged(runs)


@pytest.mark.parametrize("name", ["config.json", "speed.json"])
@pytest.mark.parametrize("command", ["merge", "resume"])
def test_brackets_without_an_end(command, name, runs):
    (runs / CHANGED[command] / name).write_text("[" * 100_000)
    with pytest.raises(OSError, match=f"{name} is damaged .*nested too deep"):
        run_mutations.READ[command](runs)


@pytest.mark.parametrize("command", ["report", "merge", "resume"])
def test_a_header_that_claims_more_than_there_is(command, runs):
    folder = runs / CHANGED[command]
    path, name = folder / "gallery.npz", "images"
    if command == "resume":  # writes its gallery anew
        path, name = sorted((folder / "outcomes").iterdir())[0], "predictions"
    run_mutations.claim_much(path, name)
    tracemalloc.start()
    with pytest.raises(
        OSError, match=f"{path.name} is damaged .*8,000,000,000,000,000"
    ):
        run_mutations.READ[command](runs)
    assert tracemalloc.get_traced_memory()[1] < 1 << 28
    tracemalloc.stop()


@pytest.mark.parametrize("codes", [[0x110000], [65, 0xD800], [0xDFFF], [65] * 1001])
@pytest.mark.parametrize("order", "<>")
def test_a_title_that_is_no_text(codes, order, tmp_path):
    run = write_run(tmp_path, speed=False)
    title = np.array(codes, f"{order}u4").view(f"{order}U{len(codes)}").reshape(())
    np.savez(run / "gallery.npz", **{**made_gallery(), "title": title})
    with pytest.raises(OSError, match="gallery.npz is damaged .*'title' is no text of"):
        write_report(run)


def change_outcomes(folder, name, change, pattern="*"):
    """Another value, or none, for an array of a run's outcomes, where they have it."""
    for path in sorted((folder / "outcomes").glob(f"{pattern}.npz")):
        with np.load(path) as stored:
            arrays = dict(stored)
        if name in arrays:
            arrays[name] = change(arrays[name])
        np.savez(path, **{key: a for key, a in arrays.items() if a is not None})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found[..., 1:, :, :], r"of shape .*where the images are of"),
        (lambda found: found[:, :1], r"of shape \(1, .*where the images are of \(2,"),
        (lambda found: found * np.nan, "outside of"),
        (lambda found: found + np.float32(1e30), "outside of"),
    ],
)
def test_examples_of_other_images(change, said, runs):
    """They come into a gallery, which has to be one that can be read."""
    folder = runs / run_mutations.WHOLE
    for name in ("gallery.npz", "results.json"):
        (folder / name).unlink()
    change_outcomes(folder, "examples", change, "*--00000")
    with pytest.raises(OSError, match=f"--00000.npz is damaged .*'examples'.*{said}"):
        run_mutations.evaluate_few(folder)
    assert not (folder / "gallery.npz").exists()


@pytest.mark.parametrize("command", ["merge", "resume"])
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "predictions",
            lambda found: found[:, :1],
            r"'predictions' is of shape \(., 1",
        ),
        ("predictions", lambda found: found.repeat(3, 1), "'predictions' is of shape"),
        ("votes", lambda found: found[:, 1:], "'votes' is of shape"),
        ("votes", lambda found: None, "'votes' is missing"),
    ],
)
def test_outcomes_of_other_repeats_or_votes(command, name, change, said, runs):
    """All in the same way, so that they fit each other."""
    parts = run_mutations.PARTS if command == "merge" else (run_mutations.WHOLE,)
    for part in parts:
        change_outcomes(runs / part, name, change)
    with pytest.raises(OSError, match=f"is damaged .*{said}"):
        run_mutations.READ[command](runs)


def test_a_page_replaces_links_and_does_not_follow_them(tmp_path):
    run = write_run(tmp_path / "run", gallery=False, speed=False)
    (tmp_path / "precious.txt").write_text("mine")
    (run / "report.html").symlink_to(tmp_path / "precious.txt")
    (run / "pictures").mkdir()
    (run / "pictures" / "rows.png").symlink_to(tmp_path / "precious.txt")
    write_report(run)
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert "<!doctype html>" in (run / "report.html").read_text(encoding="utf-8")
    shutil.rmtree(run / "pictures")
    (tmp_path / "elsewhere").mkdir()
    (run / "pictures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError, match="stays in its folder.*a link to /"):
        write_report(run)
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_outcomes_are_not_written_through_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "precious.npz").write_text("mine")
    store = RunFolder(tmp_path / "run", {"seed": 0})
    (store.path / "labels.npz").symlink_to(tmp_path / "precious.npz")
    store.write_arrays("labels.npz", {"labels": np.arange(3)})
    assert (tmp_path / "precious.npz").read_text() == "mine"
    (store.path / "outcomes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError, match="outcomes, a link to"):
        store.save("a", {"x": np.ones(1)})
    assert not [*(tmp_path / "elsewhere").iterdir()]
    with pytest.raises(ValueError, match="`key` must be the name of a file"):
        store.save("../a", {"x": np.ones(1)})


@pytest.mark.parametrize("images", [10**6, 10**9])
def test_a_configuration_of_many_images_is_not_worked_through(images, runs):
    change_configs(runs, lambda config: config.update(images=images, batch_size=1))
    with pytest.raises(OSError, match="is damaged"):
        merged(runs)


@pytest.mark.parametrize("attack", ["../../../elsewhere", "no_such_attack"])
def test_a_plan_names_no_files_elsewhere(attack, runs):
    change_configs(runs, lambda config: config["plan"][-1].update(attack=attack))
    with pytest.raises(OSError, match=rf"config.json is damaged .*{attack}"):
        merged(runs)


def test_of_two_merges_at_once_one_is_refused(runs, made, tmp_path, monkeypatch):
    """Of parts of another run, which begins after the look at the empty folder."""
    others, whole = shutil.copytree(made, tmp_path / "others"), runs / "merged"
    change_configs(others, lambda config: config.update(seed=7))
    parts = [others / part for part in run_mutations.PARTS]
    begin_meanwhile(monkeypatch, lambda: merge(parts, whole))
    with pytest.raises(ValueError, match="another configuration.*seed: 7 there, 0 he"):
        merged(runs)
    assert json.loads((whole / RESULTS).read_text())["settings"]["seed"] == 7
    alone = tmp_path / "alone"
    merge(parts, alone)
    found = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*.*")}
    assert found == {p.relative_to(alone): p.read_bytes() for p in alone.rglob("*.*")}


def test_figures_of_a_paper_are_kept(runs):
    key, figures = ["classifier", "fgsm", "linf", 0.1], {"attack": 0.2, "epsilon": 0.1}
    change_configs(runs, lambda config: config.update(paper=[[key, figures]]))
    rows = json.loads(merged(runs))["rows"]
    assert [row["paper"] for row in rows if row["paper"]] == [figures]


def test_parts_of_other_labels(runs):
    path = runs / run_mutations.PARTS[1] / "labels.npz"
    np.savez_compressed(path, labels=np.load(path)["labels"][::-1])
    with pytest.raises(ValueError, match="one run.*which differ in labels.npz"):
        merged(runs)


@pytest.mark.parametrize("with_notes", [False, True])
def test_outcomes_of_other_parts_are_left_out(with_notes, runs, made):
    """A part brings its own batches, examples and speeds, whatever lies beside.

    What is no outcome would be an error where the others would be wrong figures.
    """
    first, second = (runs / part for part in run_mutations.PARTS)
    for path in [*(second / "outcomes").iterdir()]:
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays["predictions"] = np.zeros_like(arrays["predictions"])
        np.savez(first / "outcomes" / path.name, **arrays)
    if with_notes:
        (first / "outcomes" / "notes.npz").write_text("mine")
    np.savez(second / "gallery.npz", images=np.zeros(3))
    (second / "speed.json").write_text('{"another": {}}')
    assert merged(runs) == (made / run_mutations.WHOLE / RESULTS).read_bytes()
    whole, found = (
        {path.name for path in (folder / "outcomes").iterdir()}
        for folder in (made / run_mutations.WHOLE, runs / "merged")
    )
    assert found == whole
    for name in ("gallery.npz", "speed.json"):
        content = (made / run_mutations.PARTS[0] / name).read_bytes()
        assert (runs / "merged" / name).read_bytes() == content


def test_a_large_array_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(checked_files.MOST_ARRAYS + 1, "u1"))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(OSError, match="bomb.npz is damaged .*at most 268,435,456"):
        checked_files.read_arrays(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_the_command_says_what_is_damaged(tmp_path, capsys):
    run = write_run(tmp_path)
    (run / "results.json").write_text("[" * 100_000)
    assert main(["report", str(run)]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"maskdef: error: {run}/results.json is damaged (it is nested too deep). "
        "Restore it from a copy of the run\n"
    )


def test_classes_beyond_32767_are_right(tmp_path):
    """A defence that knows all its images, and their classes among 40,000."""
    labels = np.array([0, 32_767, 32_768, 39_999])
    levels = np.linspace(0.2, 0.8, 4, dtype="float32")
    images = np.broadcast_to(levels[:, None, None, None], (4, 4, 4, 1)).copy()

    def predict(given):
        outputs = np.zeros((len(given), 40_000), "float32")
        found = abs(np.asarray(given)[:, 0, 0] - levels).argmin(axis=1)
        outputs[np.arange(len(given)), labels[found]] = 1
        return outputs

    layers = [keras.Input((4, 4, 1)), keras.layers.Flatten()]
    classifier = keras.Sequential([*layers, keras.layers.Dense(40_000)])
    report = evaluate(
        {"knowing": Defence(predict, classifier, (classifier,))},
        (images, labels),
        [AttackSetting("fgsm", "linf", 0.01)],
        eot_samples=(1,),
        sanity_checks=False,
        folder=tmp_path,
    )
    assert report.rows[0].scores["knowing"].accuracy == 1.0
    write_report(tmp_path)


def test_outcomes_of_int16_are_still_read(runs, made):
    for path in runs.glob("*/outcomes/*.npz"):
        with np.load(path) as stored:
            arrays = dict(stored)
        assert arrays["predictions"].dtype == "int32"
        for name in {"predictions", "votes"} & {*arrays}:
            arrays[name] = arrays[name].astype("int16")
        np.savez(path, **arrays)
    assert merged(runs) == (made / run_mutations.WHOLE / RESULTS).read_bytes()


def test_of_large_images_there_are_fewer_examples(monkeypatch):
    """As many as the reader takes; of small ones all."""
    arrays = made_gallery()
    total = sum(array.nbytes for array in arrays.values())
    image = np.zeros((8, 10, 10, 3), "float32")
    assert gallery._with_room(arrays) is arrays
    assert outcomes.kept_examples(image, 2) == 8
    monkeypatch.setattr(gallery, "MOST_ARRAYS", (1 << 20) + total - 1)
    monkeypatch.setattr(outcomes, "MOST_ARRAYS", 2 * 2 * 3 * image[0].nbytes)
    fewer = gallery._with_room(arrays)
    assert {*fewer} == {*arrays}
    assert len(fewer["images"]) == len(fewer["2/prediction"]) == 2
    for name in ("2/views", "2/hidden", "2/ballots"):
        np.testing.assert_array_equal(fewer[name], arrays[name][:, :2])
    assert outcomes.kept_examples(image, 2) == 3


def certificates():
    found = Certificate("cells", 1, np.array([2, -1, 0]), np.array([True, False, True]))
    views, labels = np.array([4, 4, 4]), np.array([2, 1, 0])
    return Certificates("exact", None, (found,), views, labels)


@pytest.mark.parametrize(
    ("places", "value", "said"),
    [
        (("rows", 0, "certified_images", 1), 2, "certified_images.*outside of 0 to 1"),
        (("rows", 0, "predicted_classes"), [2, 1], r"is of shape \(2,\)"),
        (("views", 0), 10**30, "is of dtype object"),
        (("labels", 0), "cat", r"\$.labels\[0\]: 'cat' is not of type 'integer'"),
        (("rows",), [], r"\$.rows: \[\] should be non-empty"),
        (("alpha",), float("inf"), "Infinity is no finite number"),
    ],
)
def test_certificates_that_nobody_proved(places, value, said, tmp_path):
    path = tmp_path / "certificates.json"
    certificates().save(path)
    plain = json.loads(path.read_text())
    assert Certificates.load(path).to_dict() == plain
    path.write_text(json.dumps(changed(plain, *places, to=value)))
    with pytest.raises(OSError, match=f"certificates.json is damaged .*{said}"):
        Certificates.load(path)


@pytest.mark.parametrize("name", ["certified", "predicted", "views"])
def test_pieces_of_certificates_are_checked(name, tmp_path):
    mask = kmd.RandomGridMask(4, mask_rate=0.75, sampling="fixed_count")
    options = {"mask": mask, "folder": tmp_path / "run"}
    kmd.certify(toy.classifier(), *toy.data(4), **options)
    (piece,) = (tmp_path / "run" / "outcomes").iterdir()
    with np.load(piece) as stored:
        arrays = dict(stored)
    np.savez(piece, **{**arrays, name: arrays[name].astype("float32")})
    with pytest.raises(OSError, match=f"'{name}' is of dtype float32.*Delete it"):
        kmd.certify(toy.classifier(), *toy.data(4), resume=True, **options)
