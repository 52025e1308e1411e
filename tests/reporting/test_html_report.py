"""The report of a made-up run: all figures, no network, nothing cut, no adaptive row
left out."""

import html
import json
import re
import shutil
from html.parser import HTMLParser

import made_run
import matplotlib.image
import numpy as np
import pytest
from made_run import BARE, MASKED, VOTING, made_results, write_run

from keras_maskdef.reporting.html_report import write_report

NARROW, WIDE = (390, 844), (1280, 800)
CHROMIUM = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LONG = "a" * 120


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_report(write_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def page(written):
    return Page(written[0].read_text(encoding="utf-8"))


class Page(HTMLParser):
    """The tables of a page, as text by row, its tags, and its text."""

    def __init__(self, source):
        super().__init__()
        self.source, self.tables, self.tags, self.words = source, [], [], []
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_data(self, data):
        self.words.append(data)
        if self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] = " ".join(
                f"{self.tables[-1][-1][-1]} {data}".split()
            )

    def rows(self, table):
        """Of a table: the rows of figures, without its head and its groups'."""
        return [row for row in self.tables[table][1:] if len(row) > 1]


def figure(score, key="accuracy", prefix=""):
    low, high = (100 * bound for bound in score[f"{prefix}interval_95"])
    digits = 0 if round(low) != round(high) else 1
    return f"{100 * score[key]:.1f} {low:.{digits}f}-{high:.{digits}f}"


@pytest.mark.parametrize(("table", "name"), [(0, MASKED), (1, VOTING)])
def test_every_row_and_figure_is_in_the_table(page, table, name):
    results = made_results()
    assert len(page.tables) == 2  # none for the bare column alone
    for cells, row in zip(page.rows(table), results["rows"], strict=True):
        score, bare = row["scores"][name], row["scores"][BARE]
        title = "worst case" if row["threat_model"] == "union" else row["attack"]
        assert cells[0].startswith(title)
        assert cells[1] == ("–" if row["epsilon"] is None else f"{row['epsilon']:g}")
        assert cells[2] == figure(bare)
        if score is None:
            assert cells[3:] == ["–"] * 6
            continue
        assert cells[3] == figure(score)
        change = 100 * (score["accuracy"] - bare["accuracy"])
        assert f"{change:+.1f}".replace("-", "−") in cells[4]
        assert ("▼" if change < 0 else "▲") in cells[4]
        assert cells[5] == figure(score, "worst", "worst_")
        conditional = figure(score, "conditional", "conditional_")
        assert cells[6] == f"{conditional} of 970"
    assert page.rows(table)[8][7:] == ["11.7", "70.9"]


def test_attackers_are_told_apart_and_the_quoted_ones_set_off(page):
    groups = [row[0] for row in page.tables[0] if len(row) == 1]
    names = ("Clean images", "Sanity check", "Black box", "Base model known")
    names = (*names, "Gray box", "White box", "Adaptive", "Worst case")
    for group, name in zip(groups, names, strict=True):
        assert group.startswith(name)
    quoted = [attrs.get("class") for tag, attrs in page.tags if tag == "tbody"]
    assert quoted[:8] == [None] * 6 + ["quoted"] * 2
    assert "pgd Linf 20 EOT samples, foolbox" in [row[0] for row in page.rows(0)]


def test_the_headline_is_the_worst_case(page):
    head = page.text[: page.text.index("Epsilon")]
    assert "Worst-case robust accuracy, over all attacks that were run" in head
    assert "12.3 % (10-14) of 1,000 images" in head
    assert "0.0 % (0.0-0.4) of 1,000 images" in head  # its base model
    assert "▼ −1.8 on clean images" in head
    assert head.index("NoiseWarning") < head.index("12.3")
    assert "All sanity checks passed" not in head


def test_without_warnings_all_checks_passed(tmp_path):
    results = {**made_results(), "warnings": []}
    run = write_run(tmp_path, results, gallery=False, speed=False)
    assert "✓ All sanity checks passed." in write_report(run)[0].read_text(
        encoding="utf-8"
    )


def test_without_controls_no_checks_were_run(tmp_path):
    results = {**without("noise"), "warnings": []}
    run = write_run(tmp_path, results, gallery=False, speed=False)
    text = write_report(run)[0].read_text(encoding="utf-8")
    assert "No sanity checks were run" in text
    assert "All sanity checks passed" not in text


def test_names_are_escaped(page):
    for name in (VOTING, made_run.WARNING["message"]):
        assert name not in page.source
        assert html.escape(name, quote=False) in page.source.replace("&#34;", '"')
        assert name in page.text


def test_the_page_needs_nothing_beside_it(page):
    assert not re.search(r"https?:|<script|@import|url\(|src=\"(?!data:)", page.source)
    tags = dict(page.tags)
    assert tags["html"]["lang"] == "en"
    assert "title" in tags
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert all(attrs["alt"] for attrs in pictures)
    scopes = {attrs.get("scope") for tag, attrs in page.tags if tag == "th"}
    assert scopes == {"col", "row", "rowgroup"}


def test_pictures(written, page):
    names = [path.name for path in written[1:]]
    sized = [f"epsilons-{number}.png" for number in range(8)]
    gallery = [f"gallery-{number}.png" for number in range(3)]
    assert names == [*sized, "votes-2.png", "rows.png", *gallery]
    assert sum(tag == "img" for tag, _ in page.tags) == len(names)
    for path in written[1:]:
        pixels = matplotlib.image.imread(path)[..., :3]
        height, width = pixels.shape[:2]
        assert 400 < width < 1600 and 300 < height < 2600, path.name
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_a_run_of_a_bare_classifier_alone(tmp_path):
    results = made_results()
    results["defences"] = {BARE: {"bare": BARE, "votes": None}}
    for row in results["rows"]:
        row["scores"] = {BARE: row["scores"][BARE]}
    run = write_run(tmp_path / "run", results, gallery=False, speed=False)
    output = tmp_path / "elsewhere" / "report"
    written = write_report(run, output)
    assert written[0] == output / "report.html"
    page = Page(written[0].read_text(encoding="utf-8"))
    assert len(page.rows(0)) == len(results["rows"])
    assert not {"Base model", "Improvement in points"} & set(page.tables[0][0])
    assert [path.name for path in run.iterdir()] == ["results.json"]


def test_colour_images_and_odd_names_are_drawn(tmp_path):
    results = made_results()
    results["class_names"] = ["_one", "$2$ and $3", *map(str, range(8))]
    renamed = {BARE: "$bare$", MASKED: "_mask", VOTING: "vote"}
    results["defences"] = {
        renamed[name]: {**about, "bare": "$bare$"}
        for name, about in results["defences"].items()
    }
    for row in results["rows"]:
        row["scores"] = {renamed[n]: s for n, s in row["scores"].items()}
    run = write_run(tmp_path, results, gallery=False, speed=False)
    gallery = {
        key: np.repeat(value, 3, axis=-1)
        if value.ndim > 3 and value.shape[-1] == 1 and not key.endswith("mask")
        else value
        for key, value in made_run.made_gallery().items()
    }
    np.savez(run / "gallery.npz", **gallery)
    assert len(write_report(run)) == 14


def without(threat_model):
    results = made_results()
    rows = [row for row in results["rows"] if row["threat_model"] != threat_model]
    return {**results, "rows": rows}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({**made_results(), "schema": 2}, r"schema 1, .*Received: schema=2 in .*json"),
        ({**made_results(), "schema": True}, "Received: schema=True"),
        ({}, "Received: schema=None"),
        (without("adaptive"), "adaptive row .* not written. Received: .*results.json"),
        (without("union"), "end with its union row. Received: .*'adaptive'"),
        (without("none"), "begin with its clean row"),
    ],
)
def test_runs_that_are_no_report(results, message, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_an_adaptive_row_that_leaves_a_defence_out(tmp_path):
    results = made_results()
    for row in results["rows"]:
        if row["threat_model"] == "adaptive":
            row["scores"][MASKED] = None
    with pytest.raises(ValueError, match=f"for '{MASKED}'"):
        write_report(write_run(tmp_path, results))


@pytest.mark.parametrize("name", ["results.json", "speed.json", "gallery.npz"])
def test_files_that_cannot_be_read(name, tmp_path):
    run = write_run(tmp_path)
    (run / name).write_bytes(b"{")
    with pytest.raises(OSError, match=f"{name} is damaged"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results.json .*Received: run=/"):
        write_report(tmp_path)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Opens a page at a size, in Chromium."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = tmp_path_factory.mktemp("chromium")
    for argument in (*CHROMIUM, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


def visit(browser, path, size):
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
    metrics["mobile"] = width < 500
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(path.as_uri())


# Text that its box cuts off, unless the box scrolls and can be reached by keyboard.
CUT = """
const reachable = e => getComputedStyle(e).overflowX === "auto" && e.tabIndex === 0;
return [...document.querySelectorAll("main *")]
  .filter(e => e.innerText && e.scrollWidth > e.clientWidth + 1 && !reachable(e))
  .filter(e => getComputedStyle(e).display !== "inline")
  .map(e => `${e.tagName}.${e.className} ${e.scrollWidth} > ${e.clientWidth}`);
"""
OUTSIDE = """
return [...document.querySelectorAll("main *")]
  .filter(e => !e.closest(".scroll"))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => `${e.tagName}.${e.className}`);
"""


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", [VOTING, LONG], ids=["", "long-name"])
def test_nothing_is_cut_in_a_browser(browser, tmp_path, size, name):
    text = json.dumps(made_results()).replace(json.dumps(VOTING), json.dumps(name))
    run = write_run(tmp_path, json.loads(text), gallery=name == VOTING, speed=False)
    visit(browser, write_report(run)[0], size)
    page = browser.execute_script("return document.documentElement.scrollWidth")
    assert page <= browser.execute_script("return innerWidth") == size[0]
    widths = browser.execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.clientWidth])"
    )
    assert widths
    assert all(natural > 0 and 0 < shown <= size[0] for natural, shown in widths)
    assert browser.execute_script(CUT) == []
    assert browser.execute_script(OUTSIDE) == []
    scrolls = "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth)"
    assert all(width > 700 for width in browser.execute_script(scrolls))
    assert browser.get_log("browser") == []


def test_the_headline_is_on_the_first_screen(browser, written):
    visit(browser, written[0], WIDE)
    bottom = browser.execute_script(
        "return document.querySelector('#headline').getBoundingClientRect().bottom"
    )
    assert bottom <= WIDE[1]
