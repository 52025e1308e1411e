"""The documentation is built without a warning, and knows what is public."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras_maskdef

ROOT = Path(__file__).parents[1]


def test_the_site_is_built_without_a_warning(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "WARNING" not in finished.stderr
    page = (tmp_path / "api/layers/index.html").read_text()
    assert "&gt;&gt;&gt;" in page  # examples are code


def test_the_reference_has_all_that_is_public():
    told = "\n".join(path.read_text() for path in ROOT.glob("docs/api/*.md"))
    listed = set(re.findall(r"^::: keras_maskdef\.(\S+)", told, re.M))
    modules = {name.partition(".")[0] for name in listed if "." in name}
    public = {name for name in keras_maskdef.__all__ if not name.startswith("__")}
    assert public - modules <= {*listed, *(n.rpartition(".")[2] for n in listed)}
    for module in ("attacks", "certification", "comparisons", "engines"):
        names = __import__(f"keras_maskdef.{module}", fromlist=["x"]).__all__
        assert {f"{module}.{name}" for name in names} <= listed | {
            "certification.certify"
        }
