"""The documentation is built without a warning, and knows what is public."""

import importlib
import os
import re
import subprocess
import sys

import pytest
from paths import ROOT

import keras_maskdef


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "WARNING" not in finished.stderr
    return folder


def test_examples_are_code(site):
    page = (site / "api/layers/index.html").read_text()
    assert "&gt;&gt;&gt;" in page


def test_the_reference_has_all_that_is_public():
    told = "\n".join(path.read_text() for path in ROOT.glob("docs/api/*.md"))
    listed = set(re.findall(r"^::: keras_maskdef\.(\S+)", told, re.M))
    modules = {name.partition(".")[0] for name in listed if "." in name}
    public = {name for name in keras_maskdef.__all__ if not name.startswith("__")}
    assert public - modules <= {*listed, *(n.rpartition(".")[2] for n in listed)}
    for module in ("attacks", "certification", "baselines", "engines"):
        package = importlib.import_module(f"keras_maskdef.{module}")
        assert {path(module, name) for name in package.__all__} <= listed


def path(module, name):
    """Where a function is named after its module, the site would take the module."""
    modules = ROOT / "keras_maskdef" / module
    doubled = f"{name}.{name}" if (modules / f"{name}.py").exists() else name
    return f"{module}.{doubled}"


def test_the_reference_has_what_is_public_of_a_class(site):
    page = (site / "api/layers/index.html").read_text()
    assert 'id="keras_maskdef.RandomGridMask.sample"' in page
    assert 'id="keras_maskdef.RandomGridMask.get_config"' not in page


def test_the_reference_has_functions_and_not_their_modules(site):
    page = (site / "api/evaluation/index.html").read_text()
    assert "threat_models" in page and "repeats" in page
