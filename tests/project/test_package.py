"""The wheel: what is in it, and that it works where the repository is not."""

import subprocess
import sys
import zipfile

import pytest
from paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def sources():
    packages = ("keras_maskdef", "maskdef")
    paths = [path for name in packages for path in (ROOT / name).rglob("*.py")]
    files = {path.relative_to(ROOT).as_posix() for path in paths}
    kernels = (ROOT / "kernels").glob("*.py")
    return files | {f"keras_maskdef/kernels/{path.name}" for path in kernels}


def test_files_of_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {name for name in names if ".dist-info/" not in name}
    schemas = (ROOT / "keras_maskdef" / "core" / "schemas").glob("*.json")
    data = {"py.typed", "reporting/report.html.j2"}
    data |= {f"core/schemas/{path.name}" for path in schemas}
    files = {f"keras_maskdef/{name}" for name in data}
    assert code == sources() | files
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_works_elsewhere(wheel, tmp_path):
    """Installed into a folder of its own, which comes first on the path."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", site, wheel], check=True)
    code = (
        "import numpy as np\n"
        "import keras_maskdef as kmd\n"
        "import keras_maskdef.kernels as kernels\n"
        "print(kmd.__file__, kernels.__file__)\n"
        "print(kmd.RandomGridMask(2)(np.ones((1, 4, 4, 1), 'float32')).shape)\n"
        "try:\n    import kernels as top\n"
        "except ModuleNotFoundError: print('none at the top level')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env={"PYTHONPATH": str(site), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    files, shape, top_level = finished.stdout.splitlines()
    assert all(name.startswith(str(site)) for name in files.split())
    assert shape == "(1, 4, 4, 1)"
    assert top_level == "none at the top level"
