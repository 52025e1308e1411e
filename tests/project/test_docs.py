"""Every example in the docs and docstrings runs."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import keras
import pytest
from paths import ROOT

import keras_maskdef

# Downloads, or reads folders that only a user has.
NEEDS_DATA = {
    "cifar10",
    "image_folder",
    "mnist",
    "svhn_cropped",
    "tiny_imagenet",
    "tiny_imagenet_subset",
}


def modules():
    walk = pkgutil.walk_packages(keras_maskdef.__path__, "keras_maskdef.")
    names = [module.name for module in walk] + ["keras_maskdef.kernels"]
    return [importlib.import_module(name) for name in sorted(set(names))]


def documented():
    """All public objects that this package defines, by their full name."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if own and callable(value) and not name.startswith("_"):
                found[f"{module.__name__}.{name}"] = value
    return found


DOCUMENTED = documented()
FENCED = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
# Pages of which every block runs by itself. One that needs a library which is not in
# the extras says so above, where no reader sees it.
PAGES = ("docs/attaching.md", "docs/pipelines.md", "docs/serving.md")
NEEDY = re.compile(r"^(?:<!-- needs: (\w+) -->\n)?```python\n(.*?)^```", re.M | re.S)
# Pages that are read, and run, from the top to the end.
TOLD = ("README.md", "docs/index.md", "docs/defences.md", "docs/extending.md")
# Pages of what takes several devices, or minutes.
READ_ONLY = ("docs/at-scale.md", "docs/distribution.md")
# That of two workers, and the server with its clients, have tests of their own.
TESTED_ELSEWHERE = {
    "checked_request.py",
    "preforked.py",
    "serve.py",
    "serve_load.py",
    "train_on_two_workers.py",
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_examples(name):
    value = DOCUMENTED[name]
    text = inspect.getdoc(value) or ""
    if name.rpartition(".")[-1] in NEEDS_DATA:
        for block in FENCED.findall(text):
            ast.parse(block)
        return
    for block in FENCED.findall(text):
        exec(compile(block, name, "exec"), {})
    source = importlib.import_module(value.__module__)
    finder = doctest.DocTestFinder(recurse=inspect.isclass(value))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in finder.find(value, name, globs=dict(vars(source))):
        assert runner.run(test).failed == 0


@pytest.mark.parametrize("name", keras_maskdef.__all__)
def test_public_names_are_documented(name):
    value = getattr(keras_maskdef, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        text = inspect.getdoc(value)
        sections = {"Args:", "Returns:", "Raises:", "Example:"}
        if inspect.isclass(value) and issubclass(value, keras.callbacks.Callback):
            sections.remove("Returns:")  # none of its methods does
        assert {section for section in sections if section not in text} == set()


# Whether this control is content with three epochs depends on how a machine rounds.
@pytest.mark.filterwarnings(
    "ignore::keras_maskdef.evaluation.checks.FrozenMasksWarning"
)
@pytest.mark.parametrize("page", TOLD)
def test_told_examples(page, monkeypatch):
    """In order and in one namespace, as a reader would try them, on fewer digits."""
    sample = keras_maskdef.datasets.sample

    def few(split):
        return sample("train[:2000]" if split == "train" else split)

    monkeypatch.setattr(keras_maskdef.datasets, "sample", few)
    blocks = FENCED.findall((ROOT / page).read_text())
    assert len(blocks) > 1
    namespace = {"__name__": "told"}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)


def blocks():
    for page in PAGES:
        found = NEEDY.finditer((ROOT / page).read_text())
        for number, block in enumerate(found, 1):
            yield pytest.param(page, *block.groups(), id=f"{page}-{number}")


@pytest.mark.parametrize("page, needs, block", list(blocks()))
def test_docs_examples(page, needs, block, tmp_path, monkeypatch):
    if needs:
        pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", READ_ONLY)
def test_blocks_that_do_not_run_are_python(page):
    blocks = FENCED.findall((ROOT / page).read_text())
    assert blocks
    for block in blocks:
        ast.parse(block)


@pytest.mark.parametrize(
    "example",
    sorted(
        path for path in ROOT.glob("examples/*.py") if path.name not in TESTED_ELSEWHERE
    ),
    ids=lambda path: path.name,
)
def test_examples_run(example):
    finished = subprocess.run(
        [sys.executable, str(example), *"--epochs 1 --images 10 --train 256".split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "10 images" in finished.stdout


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (ROOT / target).exists(), target
