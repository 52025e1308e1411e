"""examples/preforked.py under gunicorn: no two workers draw the same masks."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor

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


def test_a_wrong_request_is_told_what_is_wrong(address):
    wrong = (b"[", b"[]", b"{}", b'{"instances": [["a"]]}', b'{"instances": {}}')
    for body in (*wrong, b'{"instances": [1]}'):
        status, said = ask(address, body)
        assert status == 400
        assert json.loads(said)["error"]
