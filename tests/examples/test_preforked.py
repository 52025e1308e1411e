"""examples/preforked.py under gunicorn: no two workers draw the same masks."""

import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from paths import EXAMPLES

import keras_maskdef as kmd

for module in ("gunicorn", "onnxruntime", "tf2onnx"):
    pytest.importorskip(module)

WORKERS = 3


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "mask.onnx"
    model = keras.Sequential([keras.Input((8, 16, 1)), kmd.RandomGridMask(1, 0.5)])
    model(np.ones((1, 8, 16, 1), "float32"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "In the future", FutureWarning)
        warnings.filterwarnings("ignore", ".* fresh, not secret", UserWarning)
        model.export(path, format="onnx", verbose=False)
    return path


@pytest.fixture(params=[[], ["--preload"]], ids=["plain", "preload"])
def address(request, onnx):
    command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS)]
    command += ["--bind", "127.0.0.1:0", "--chdir", EXAMPLES, *request.param]
    command += ["--env", f"MODEL={onnx}", "preforked:app"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            if "Listening at: " in line:
                yield line.split("Listening at: ")[1].split()[0]
                break
    finally:
        server.terminate()
        server.communicate(timeout=60)


def ask(address, body):
    request = urllib.request.Request(address, data=body)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_no_two_workers_draw_the_same_masks(address):
    body = json.dumps({"instances": np.ones((1, 8, 16, 1)).tolist()}).encode()
    with ThreadPoolExecutor(2 * WORKERS) as pool:
        answers = list(pool.map(lambda _: ask(address, body), range(60)))
    assert {status for status, _ in answers} == {200}
    assert len({masks for _, masks in answers}) == len(answers)


def with_a(value):
    """A request of one image with a value of this text in it."""
    ones = json.dumps({"instances": np.ones((1, 8, 16, 1)).tolist()})
    return ones.replace("1.0", value, 1).encode()


WRONG = {
    b"": "1 to 33554432 bytes",
    b"[": "must be JSON",
    b"[]": "it is not an object",
    b"{}": "`instances` must be a list",
    b'{"instances": {}}': "`instances` must be a list",
    b'{"instances": []}': "1 to 256 entries",
    b'{"instances": [1]}': "Invalid rank for input",
    b'{"instances": [["a"]]}': "they contain a str",
    b'{"instances": [[[[1]], [[1, 2]]]]}': "must have equal lengths",
    b"[" * 100_000: "nested too deeply",
    with_a("true"): "they contain a bool",
    with_a('"0.5"'): "they contain a str",
    with_a("null"): "they contain a NoneType",
    with_a("NaN"): "instances[0, 0, 0, 0]=nan",
    with_a("1e400"): "instances[0, 0, 0, 0]=inf",
    with_a("1e39"): "instances[0, 0, 0, 0]=inf",
    with_a(str(10**400)): "a number is too large",
    json.dumps({"instances": np.ones((300, 8, 16, 1)).tolist()}).encode(): "1 to 256",
}


def test_a_wrong_request_is_told_what_is_wrong(address):
    for body, message in WRONG.items():
        status, said = ask(address, body)
        assert status == 400
        assert message in json.loads(said)["error"]


def test_a_body_in_chunks(address):
    """Of which no length is told; urllib sends what has none so."""
    for body, expected in ((with_a("1.0"), 200), (with_a("true"), 400)):
        status, said = ask(address, iter([body[:100], body[100:]]))
        assert status == expected and json.loads(said)
    status, said = ask(address, (b" " * (1 << 20) for _ in range(33)))
    assert status == 400 and "1 to 33554432 bytes" in json.loads(said)["error"]


def test_predictions_that_are_not_finite(monkeypatch):
    """They are no JSON, and no fault of the request."""
    import preforked

    class Broken:
        def get_inputs(self):
            return [SimpleNamespace(name="x")]

        def run(self, _, images):
            return [images["x"] * np.nan]

    monkeypatch.setattr(preforked, "session", Broken)
    body, said = with_a("1.0"), []
    environ = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    (answer,) = preforked.app(environ, lambda *started: said.append(started[0]))
    assert said == ["500 Internal Server Error"]
    assert "predictions[0, 0, 0, 0]=nan" in json.loads(answer)["error"]
