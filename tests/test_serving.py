"""The example server, in this process and under load."""

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_maskdef as kmd

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
testclient = pytest.importorskip("fastapi.testclient")

EXAMPLES = Path(__file__).parents[1] / "examples"
IMAGES = np.random.default_rng(0).random((3, 8, 16, 1)).astype("float32")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    specification = importlib.util.spec_from_file_location("s", EXAMPLES / "serve.py")
    serve = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(serve)
    folder = tmp_path_factory.mktemp("served")
    inputs = keras.Input((8, 16, 1))
    bits, mask = kmd.BitDepthReduction(3)(inputs), kmd.RandomGridMask(1, 0.5)(inputs)
    models = {
        "bits": keras.Model(inputs, bits),
        "both": keras.Model(inputs, {"bits": bits, "mask": mask}),
    }
    for name, model in models.items():
        model.export(folder / name, verbose=False)
    return testclient.TestClient(
        serve.create_app({name: serve.Served(folder / name) for name in models})
    )


def predict(client, name="bits", images=IMAGES):
    return client.post(
        f"/v1/models/{name}:predict", json={"instances": images.tolist()}
    )


def test_predictions_are_those_of_the_model(client):
    answer = predict(client)
    assert answer.status_code == 200
    rows = np.array(answer.json()["predictions"], "float32")
    np.testing.assert_allclose(rows, kmd.BitDepthReduction(3)(IMAGES), rtol=1e-6)


def test_several_outputs_have_their_names(client):
    rows = predict(client, "both").json()["predictions"]
    assert [sorted(row) for row in rows] == [["bits", "mask"]] * len(IMAGES)


def test_the_status_is_that_of_tensorflow_serving(client):
    (status,) = client.get("/v1/models/bits").json()["model_version_status"]
    assert status["state"] == "AVAILABLE" and status["status"]["error_code"] == "OK"


@pytest.mark.parametrize("way", ["get", "post"])
def test_a_model_that_is_not_there(client, way):
    answer = client.get("/v1/models/x") if way == "get" else predict(client, "x")
    assert answer.status_code == 404
    assert answer.json() == {"error": "There is no model 'x', but: bits, both"}


@pytest.mark.parametrize(
    "body, message",
    [
        ("{", "The body must be JSON"),
        ('{"inputs": []}', "The body must be JSON"),
        ('{"instances": 3}', "The body must be JSON"),
        ('{"instances": []}', "of the shape ('n', 8, 16, 1). Received"),
        (
            '{"instances": [[1], [2, 3]]}',
            "must be numbers of the shape ('n', 8, 16, 1)",
        ),
        ('{"instances": [["a"]]}', "must be numbers of the shape ('n', 8, 16, 1)"),
        ('{"instances": [[[0.5]]]}', "Received: instances of the shape (1, 1, 1)"),
        (json.dumps({"instances": np.full((1, 8, 16, 1), np.nan).tolist()}), "finite"),
        (
            json.dumps({"instances": np.zeros((257, 8, 16, 1), int).tolist()}),
            "must be 1 to 256 of them. Received: 257",
        ),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client, body, message):
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/models/bits:predict", content=body, headers=headers)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_requests_at_once_get_answers_and_masks_of_their_own(client):
    def ask(number):
        images = np.full((1 + number % 3, 8, 16, 1), (1 + number % 7) / 7, "float32")
        return images, predict(client, "both", images).json()["predictions"]

    masks = []
    with ThreadPoolExecutor(8) as pool:
        for images, rows in pool.map(ask, range(48)):
            np.testing.assert_allclose([row["bits"] for row in rows], images, rtol=1e-6)
            masks += [str(np.array(row["mask"]) > 0) for row in rows]
    assert len(set(masks)) == len(masks)


@pytest.mark.slow
def test_load(tmp_path):
    pytest.importorskip("httpx")
    output = tmp_path / "load.json"
    options = "--clients 4 --seconds 5 --epochs 1 --train 256 --output".split()
    subprocess.run(
        [sys.executable, str(EXAMPLES / "serve_load.py"), *options, str(output)],
        check=True,
    )
    result = json.loads(output.read_text())["lenet"]
    assert all(model["errors"] == 0 for model in result["models"].values())
    assert result["masks"]["requests"] > 0
    assert result["masks"]["requests with the same masks"] == 0
    assert result["masks"]["equal streams of two clients"] == 0
