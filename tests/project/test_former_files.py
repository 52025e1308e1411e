"""Files that commit 3f21e8b wrote are still read: models, a run, certificates."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from paths import ROOT

import keras_maskdef as kmd
from keras_maskdef import baselines  # noqa: F401  # registers its layers
from keras_maskdef.certification import Certificates
from keras_maskdef.evaluation.merge import merge
from keras_maskdef.reporting.html_report import write_report

WRITTEN = ROOT / "tests" / "data" / "written-by-3f21e8b.zip"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("former")
    with zipfile.ZipFile(WRITTEN) as archive:
        archive.extractall(folder)
    return folder


def test_models_load_in_a_fresh_process(folder):
    lines = (
        "import sys, keras, numpy as np, keras_maskdef as kmd",
        "for path in sys.argv[1:]:",
        "    model = kmd.loading.load_model(path)",
        "    print(type(model).__name__, model(np.zeros((2, 8, 8, 3))).shape)",
    )
    names = ("layers", "vote", "masked", "gaussian")
    paths = [str(folder / f"{name}.keras") for name in names]
    code = [sys.executable, "-c", "\n".join(lines), *paths]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    assert kinds == ["Sequential", "VotingEnsemble", "Functional", "GaussianVote"]


def test_a_defended_model_gives_the_same_outputs(folder):
    stored = json.loads((folder / "logits.json").read_text())
    model = keras.saving.load_model(folder / "masked.keras")
    outputs = model(np.array(stored["images"], "float32"))
    found = keras.ops.convert_to_numpy(outputs)
    np.testing.assert_allclose(found, stored["masked"], rtol=1e-4, atol=1e-5)


def test_a_run_is_reported_and_merged(folder, tmp_path):
    pages = write_report(folder / "run", tmp_path / "page")
    assert "worst case" in pages[0].read_text(encoding="utf-8")
    merged = merge([folder / "run"], tmp_path / "merged")
    before = json.loads((folder / "run" / "results.json").read_text())["rows"]
    assert merged.to_dict()["rows"] == before


def test_certificates_are_read(folder):
    path = folder / "certificates" / "certificates.json"
    certificates = Certificates.load(path)
    rows = json.loads(path.read_text())["rows"]
    assert certificates.to_dict()["rows"] == rows and len(rows) > 1
    assert isinstance(certificates["cells", 1], kmd.certification.Certificate)
