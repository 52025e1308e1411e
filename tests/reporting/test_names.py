"""Names are printed, drawn and written as they are, whatever else they could mean."""

import io
import json
import re
from html.parser import HTMLParser

import keras
import matplotlib
import numpy as np
import pytest
import toy
from matplotlib.text import Text
from rich.console import Console

import keras_maskdef as kmd
from keras_maskdef.core.progress import progress_bars
from keras_maskdef.evaluation import AttackSetting
from keras_maskdef.evaluation.merge import merge
from keras_maskdef.papers.result_table import ResultTable
from keras_maskdef.reporting import figures
from keras_maskdef.reporting.certificate_curves import plot_certificates
from keras_maskdef.reporting.html_report import write_report
from keras_maskdef.reporting.pictures import plot_votes
from keras_maskdef.reporting.rows_picture import draw_rows
from maskdef import main

NASTY = (
    "vgg [adv]",
    "vgg [plain]",
    "x [/] y",
    "run:dog:1",
    "[bold]$x_$[/bold]",
    r"cost $\nonsense{$",
    "<b>bold</b>&amp;",
    "a|b",
    "_hidden",
    "two\nlines",
    "{brace} %s \\[z]",
)
FGSM = AttackSetting("fgsm", "linf", 0.1)
WIDE = 400


def printed(*what, **options):
    """What any user's console makes of it, markup, emoji and all."""
    page = io.StringIO()
    Console(width=WIDE, file=page, **options).print(*what)
    return page.getvalue()


def one_line(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An evaluation in which everything has a nasty name, and its merged report."""
    folder = tmp_path_factory.mktemp("run:dog:[1]")
    images, labels = toy.data(8)
    defences = {name: toy.vote(votes=1 + n) for n, name in enumerate(NASTY)}
    kmd.evaluate(
        defences,
        (images, labels, NASTY[:3]),
        [FGSM],
        eot_samples=(1,),
        repeats=1,
        sanity_checks=False,
        folder=folder / "[1]",
    )
    return folder / "whole", merge([folder / "[1]"], folder / "whole")


def test_tables_have_all_columns(run):
    page = printed(run[1])
    for name in set(NASTY) - {"two\nlines"}:
        assert name in page


def test_reports_as_json(run):
    found = json.loads((run[0] / "results.json").read_text())
    assert list(found["defences"])[1:] == list(NASTY)
    assert found["class_names"] == list(NASTY[:3])
    assert set(found["rows"][0]["scores"]) == {"bare classifier", *NASTY}


class Words(HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.headings, self.inside = [], False
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.inside = tag == "h3"
        if self.inside:
            self.headings.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.headings[-1] += data


@pytest.fixture
def texts(monkeypatch):
    """All that is drawn in pictures, and whether it is read for formulas."""
    found = []
    draw = Text.draw

    def recorded(text, *arguments, **options):
        found.append((text.get_text(), text.get_parse_math()))
        return draw(text, *arguments, **options)

    monkeypatch.setattr(Text, "draw", recorded)
    return found


def check_texts(texts, names):
    assert not any(parsed for _, parsed in texts)
    words = " ".join(one_line(text) for text, _ in texts)
    for name in names:
        assert one_line(name) in words


def test_pages_and_their_pictures(run, texts, tmp_path):
    page, *pictures = write_report(run[0], tmp_path / "page [1]")
    assert all(picture.is_file() for picture in pictures)
    headings = Words(page.read_text(encoding="utf-8")).headings
    assert [*map(one_line, headings)] == [*map(one_line, NASTY)]
    check_texts(texts, NASTY)


def test_pictures(run, texts, tmp_path):
    images, labels = toy.data(3)
    draw_rows(run[1], tmp_path / "report.png")
    check_texts(texts, NASTY)
    texts.clear()
    names = NASTY[3:6]
    plot_votes(toy.vote(), images, images, labels, names, tmp_path / "votes.png")
    check_texts(texts, [names[label] for label in labels])
    texts.clear()
    mask = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
    proven = kmd.certify(toy.classifier(), images, labels, mask=mask)
    plot_certificates({name: proven for name in NASTY}, tmp_path / "curves.png")
    check_texts(texts, NASTY)


def test_text_is_as_given_in_every_picture():
    """No picture is written around the one function that keeps text as it is."""
    package = figures.Path(kmd.__file__).parent
    writers = [p.name for p in package.rglob("*.py") if "savefig" in p.read_text()]
    assert writers == ["figures.py"]
    assert matplotlib.rcParams["text.parse_math"]


def test_certificates():
    images, labels = toy.data(3)
    mask = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
    found = kmd.certify(toy.classifier(), images, labels, mask=mask)
    noted = type(found)(
        "[red]", None, found.certificates, found.views, labels, notes=NASTY
    )
    words = one_line(printed(noted))
    for name in ("[red]", *NASTY):
        assert one_line(name) in words


def test_tables_of_recipes():
    table = ResultTable(NASTY, [NASTY], notes=NASTY)
    words = one_line(re.sub("[┃│]", " ", printed(table)))
    for name in set(NASTY) - {"two\nlines"}:
        assert words.count(name) >= 3
    lines = list(table.markdown())
    assert len(lines) == 3
    for line in lines:
        cells = re.split(r"(?<!\\)\|", line)
        assert len(cells) == len(NASTY) + 2


def test_progress_bars():
    page = io.StringIO()
    console = Console(width=120, file=page, force_terminal=True, color_system=None)
    with progress_bars(console) as start:
        for name in NASTY:
            start(name, 1)(1)
    for name in NASTY:
        assert name.split("\n")[0] in page.getvalue()


def test_columns_have_names_that_differ():
    models = {1: toy.classifier(), "1": toy.vote()}
    with pytest.raises(ValueError, match=r"differ as text.*Received.*\[1, '1'\]"):
        kmd.evaluate(models, toy.data(4), [FGSM])


def test_a_bare_classifier_has_a_column_of_its_own():
    named = {
        "bare classifier": toy.vote(toy.classifier()),
        "bare classifier of bare classifier": toy.vote(votes=2),
    }
    report = kmd.evaluate(
        named, toy.data(4), [FGSM], eot_samples=(1,), repeats=1, sanity_checks=False
    )
    assert len(report.defences) == 3
    assert {about["bare"] for about in report.columns.values()} == {report.defences[0]}


def test_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    paths = [tmp_path / f"{name}.keras" for name in ("vgg [adv]", "x [] y", ":dog:")]
    for path in paths:
        model.set_weights(
            [np.random.default_rng(len(path.name)).random((784, 10)), np.zeros(10)]
        )
        model.save(path)
    run_folder = tmp_path / "run:dog:[1]"
    quick = [
        "--images",
        "4",
        "--attacks",
        "fgsm",
        "--eot-samples",
        "1",
        "--repeats",
        "1",
    ]
    arguments = ["evaluate", *map(str, paths), *quick, "--output", str(run_folder)]
    assert main(arguments) == 0
    assert main(["report", str(run_folder)]) == 0
    assert main(["merge", str(run_folder), "--output", str(tmp_path / "[/]")]) == 0
    said = capsys.readouterr().out
    for path in paths:
        assert path.stem in said
    for path in (run_folder, run_folder / "report.html", tmp_path / "[/]"):
        assert f"wrote {path}" in said
    assert main(["report", str(tmp_path / "no [/] run :dog:")]) == 2
    assert "no [/] run :dog:" in capsys.readouterr().err
