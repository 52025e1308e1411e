"""The example server, in this process and under load."""

import asyncio
import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import keras
import numpy as np
import pytest
import tensorflow as tf
from paths import EXAMPLES

import keras_maskdef as kmd

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("fastapi.testclient")

IMAGES = np.random.default_rng(0).random((3, 8, 16, 1)).astype("float32")


def load_example(name):
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / name)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def serve():
    return load_example("serve.py")


@pytest.fixture(scope="module")
def client(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    inputs = keras.Input((8, 16, 1))
    bits, mask = kmd.BitDepthReduction(3)(inputs), kmd.RandomGridMask(1, 0.5)(inputs)
    models = {
        "bits": keras.Model(inputs, bits),
        "both": keras.Model(inputs, {"bits": bits, "mask": mask}),
    }
    for name, model in models.items():
        model.export(folder / name / "1", verbose=False)
    return testclient.TestClient(
        serve.create_app({name: serve.Served(folder / name) for name in models})
    )


@pytest.fixture
def served(serve, tmp_path):
    """What serves a function of tensors of the shapes."""

    def make(function, *shapes):
        save(tmp_path, function, *shapes)
        return serve.Served(tmp_path)

    return make


def save(folder, function, *shapes):
    module = tf.Module()
    specs = [tf.TensorSpec(shape, name=f"x{i}") for i, shape in enumerate(shapes)]
    module.function = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, folder, signatures=module.function)


def run_together(served, arrays):
    """Outputs or errors of arrays that wait at once, and the shapes in which they ran.

    The first runs alone, and the others wait until it has.
    """
    function, shapes = served._function, []
    running, go = Event(), Event()

    def held_up(**inputs):
        shapes.append(tuple(inputs["x0"].shape))
        running.set()
        go.wait(60)
        return function(**inputs)

    served._function = held_up
    answers = [served.submit(arrays[0])]
    running.wait(60)
    answers += [served.submit(array) for array in arrays[1:]]
    go.set()
    errors = [answer.exception(60) for answer in answers]
    return [
        error or next(iter(answer.result().values()))
        for answer, error in zip(answers, errors, strict=True)
    ], shapes


def with_a(value):
    """The body of a request for an image with such a pixel."""
    images = IMAGES[:1].tolist()
    images[0][0][0][0] = 0
    text = json.dumps({"instances": images})
    digits = f"1{'0' * 5000}" if value == 10**5000 else json.dumps(value)
    return text.replace("[[[[0]", f"[[[[{digits}]", 1)


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
    assert status["version"] == "1"


def test_the_newest_version_is_served(serve, tmp_path):
    for version in (2, 10):
        save(tmp_path / str(version), lambda x, version=version: x + version, [None])
    (tmp_path / "11").mkdir()
    (tmp_path / "best").mkdir()
    served = serve.Served(tmp_path)
    assert served.version == "10" and served.predict(np.zeros(1, "float32")) == [10]
    assert serve.Served(tmp_path / "2").version == "2"
    with pytest.raises(ValueError, match="numbered versions.* Received: folder="):
        serve.Served(tmp_path / "11")


def test_a_model_that_cannot_be_served(serve, served, tmp_path):
    with pytest.raises(ValueError, match=r"one input.* inputs=\['x0', 'x1'\]"):
        served(lambda x, y: x + y, [None], [None])
    tf.saved_model.save(tf.Module(), tmp_path / "bare")
    with pytest.raises(ValueError, match=r"'serving_default'.* signatures=\[\]"):
        serve.Served(tmp_path / "bare")


@pytest.mark.parametrize("way", ["get", "post"])
def test_a_model_that_is_not_there(client, way):
    answer = client.get("/v1/models/x") if way == "get" else predict(client, "x")
    assert answer.status_code == 404
    assert answer.json() == {"error": "There is no model 'x'. Models: bits, both"}


@pytest.mark.parametrize("url", ["/v1/models", "/v1/models/bits:predict"])
def test_a_route_that_is_not_there(client, url):
    answer = client.get(url)
    assert answer.status_code >= 400
    assert list(answer.json()) == ["error"]


def test_a_body_of_any_content_type(client):
    body = json.dumps(
        {"signature_name": "serving_default", "instances": [IMAGES[0]]},
        default=np.ndarray.tolist,
    )
    form = {"content-type": "application/x-www-form-urlencoded"}
    for headers in ({}, form):
        answer = client.post("/v1/models/bits:predict", content=body, headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "body, message",
    [
        ("{", "The body must be JSON"),
        ("[]", "it is not an object. Received: body='[]'"),
        ("[" * 200_000, "it is nested too deeply"),
        (b'\xff{"instances": [[1]]}', "The body must be JSON"),
        ('{"inputs": []}', "`instances` must be a list"),
        ('{"instances": [], "inputs": []}', "'inputs' is not allowed"),
        ('{"instances": 3}', "Received: body='{\"instances\": 3}'"),
        ('{"instances": [], "signature_name": "other"}', "must be 'serving_default'"),
        ('{"instances": []}', "of the shape ('n', 8, 16, 1). Received"),
        (
            '{"instances": [[1], [2, 3]]}',
            "must be float32 numbers of the shape ('n', 8, 16, 1)",
        ),
        ('{"instances": [["a"]]}', "Received: instances=[['a']]"),
        (with_a("0.5"), "they contain a str"),
        (with_a(True), "they contain a bool"),
        (with_a(None), "they contain a NoneType"),
        (with_a({"1": 0.5}), "they contain a dict"),
        (with_a([0.5]), "must have equal lengths"),
        (with_a(10**39), "Received: instances[0, 0, 0, 0]=inf"),
        (with_a(10**400), "a number is too large"),
        (with_a(10**5000), "The body must be JSON"),
        (with_a(float("-inf")), "Received: instances[0, 0, 0, 0]=-inf"),
        ('{"instances": [' + "[" * 100 + "1" + "]" * 100 + "]}", "at most 64 deep"),
        ('{"instances": [[]]}', "Received: instances.shape=(1, 0)"),
        ('{"instances": [[[0.5]]]}', "Received: instances.shape=(1, 1, 1)"),
        (
            json.dumps({"instances": np.full((1, 8, 16, 1), np.nan).tolist()}),
            "Received: instances[0, 0, 0, 0]=nan",
        ),
        (
            json.dumps({"instances": np.zeros((257, 8, 16, 1), int).tolist()}),
            "must have 1 to 256 entries. Received: len(instances)=257",
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


@pytest.mark.parametrize(
    "shape, sizes, ran",
    [
        # No more than four at once, in the order of the requests.
        (
            [None, 2],
            [(1, 2), (2, 2), (2, 2), (3, 2), (1, 2), (4, 2)],
            [(1, 2), (4, 2), (4, 2), (4, 2)],
        ),
        # Images of another size wait.
        ([None, None], [(1, 2), (1, 8), (1, 4), (2, 4)], [(1, 2), (1, 8), (3, 4)]),
        # A fixed batch has no room for others.
        ([2, 2], [(2, 2)] * 3, [(2, 2)] * 3),
    ],
)
def test_requests_that_wait_together(serve, served, monkeypatch, shape, sizes, ran):
    monkeypatch.setattr(serve, "MOST", 4)
    arrays = [np.full(size, i, "float32") for i, size in enumerate(sizes)]
    outputs, shapes = run_together(served(lambda x: x + 1, shape), arrays)
    for array, output in zip(arrays, outputs, strict=True):
        np.testing.assert_array_equal(output, array + 1)
    assert shapes == ran


def test_a_request_that_fails_fails_alone(served):
    def small(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 5.0)]):
            return tf.identity(x)

    arrays = [np.full((1,), value, "float32") for value in (0, 1, 9, 2)]
    outputs, shapes = run_together(served(small, [None]), arrays)
    assert shapes == [(1,), (3,), (1,), (1,), (1,)]
    assert isinstance(outputs.pop(2), tf.errors.InvalidArgumentError)
    assert np.array(outputs).tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(
    "function, message",
    [
        (tf.math.log, "`output_0` must be finite. Received: output_0[1]=-inf"),
        (tf.reduce_mean, "Received: output_0.shape=(), instances.shape=(2,)"),
    ],
)
def test_a_model_that_fails(serve, served, function, message):
    client = testclient.TestClient(serve.create_app({"x": served(function, [None])}))
    answer = predict(client, "x", np.array([1, 0]))
    assert answer.status_code == 500
    assert message in answer.json()["error"]


def test_a_fixed_batch_is_asked_for(served):
    with pytest.raises(ValueError, match=r"of the shape \(2, 4\)\. Received"):
        served(tf.identity, [2, 4]).check([[0, 0, 0, 0]])


@pytest.mark.parametrize(
    "value, message",
    [
        (1.5, "they contain a float"),
        (300, "a number is too large"),
        (-1, "a number is too large"),
    ],
)
def test_a_model_of_integers_takes_no_others(tmp_path, serve, value, message):
    save_typed(tmp_path, tf.uint8)
    served = serve.Served(tmp_path)
    assert served.predict(served.check([0, 255])) == [0, 255]
    with pytest.raises(ValueError, match=message):
        served.check([0, value])


def test_a_model_of_text(tmp_path, serve):
    save_typed(tmp_path, tf.string)
    with pytest.raises(ValueError, match="must take numbers. Received.*dtype=string"):
        serve.Served(tmp_path)


def save_typed(folder, dtype):
    module = tf.Module()
    signature = [tf.TensorSpec([None], dtype, name="x0")]
    module.function = tf.function(tf.identity, input_signature=signature)
    tf.saved_model.save(module, folder, signatures=module.function)


def limited(serve, served, **limits):
    app = serve.create_app({"x": served(tf.identity, [None])}, serve.Limits(**limits))
    return testclient.TestClient(app)


def test_a_body_that_is_too_large(serve, served):
    """Told or not, and no more of it is read than may be."""
    client = limited(serve, served, body=1000)
    small, sent = b'{"instances": [1]}', []

    def parts():
        for _ in range(100):
            sent.append(500)
            yield b" " * 500

    for content in (small + b" " * 1000, parts()):
        answer = client.post("/v1/models/x:predict", content=content)
        assert answer.status_code == 413
        assert "at most 1000 bytes. Received: at least" in answer.json()["error"]
    assert client.post("/v1/models/x:predict", content=small).status_code == 200


def test_errors_do_not_echo_what_was_sent(client):
    name = "x" * 50_000
    keys = {name: 1, "instances": []}
    nested = {"instances": [[name]]}
    asked = [("bits", json.dumps(body)) for body in (keys, nested, name)]
    for model, body in [*asked, (name, "{}")]:
        answer = client.post(f"/v1/models/{model}:predict", content=body)
        assert answer.status_code in (400, 404) and len(answer.text) < 1100


def test_more_requests_than_may_wait(serve, served):
    client = limited(serve, served, waiting=0)
    answer = predict(client, "x", np.array([1]))
    assert answer.status_code == 503 and "in progress" in answer.json()["error"]
    assert client.get("/v1/models/x").status_code == 200


def test_a_model_whose_folder_is_gone_is_served_on(served, tmp_path):
    model = served(lambda x: x + 1, [None])
    shutil.rmtree(tmp_path)
    assert model.predict(np.zeros(1, "float32")) == [1]


@contextmanager
def running(folder, *options):
    """The port of a server of the folder and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = str(EXAMPLES / "serve.py")
    command = [sys.executable, script, f"x={folder}", "--port", str(port), *options]
    process = subprocess.Popen(command)
    try:
        load_example("serve_load.py").wait_for(
            process, f"http://127.0.0.1:{port}/v1/models/x"
        )
        yield port, process
    finally:
        process.kill()
        process.wait()


def begin(port, text):
    """A connection that has sent the beginning of a request."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(text.encode())
    return connection


POST = "POST /v1/models/x:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"


def test_unfinished_requests(tmp_path):
    """They are answered in the end, and do not keep a server that is to stop."""
    save(tmp_path, tf.identity, [None])
    with running(tmp_path, "--grace", "1", "--body-seconds", "2", "--body", "1") as (
        port,
        process,
    ):
        for size, status in ((1 << 40, 413), (1000, 408)):
            with begin(port, POST.format(size) + '{"instances"') as connection:
                assert f" {status} " in connection.recv(100).decode()
    with (
        running(tmp_path, "--grace", "1") as (port, process),
        begin(port, POST.format(1000) + '{"instances"'),
        begin(port, POST.format(1000)[:20]),
    ):
        httpx.get(f"http://127.0.0.1:{port}/v1/models/x").raise_for_status()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_predictions_that_wait_delay_no_status(serve, served):
    """More of them than the server has threads; the model answers after the status."""
    go, one = Event(), served(tf.identity, [None])
    function, submit, asked = one._function, one.submit, []
    one._function = lambda **inputs: go.wait(60) and function(**inputs)
    one.submit = lambda images: asked.append(1) or submit(images)
    app = serve.create_app({"x": one})

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            body = {"instances": [1]}
            predictions = [
                asyncio.create_task(http.post("/v1/models/x:predict", json=body))
                for _ in range(100)
            ]
            while len(asked) < 100:
                await asyncio.sleep(0.01)
            status = await http.get("/v1/models/x")
            waited = not any(task.done() for task in predictions)
            go.set()
            return status, waited, await asyncio.gather(*predictions)

    status, waited, answers = asyncio.run(asyncio.wait_for(ask(), 60))
    assert status.status_code == 200 and waited
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("answer", [httpx.Response(500), httpx.ReadError("reset")])
def test_no_server_is_left_behind(answer, tmp_path, monkeypatch):
    load, started = load_example("serve_load.py"), []

    class Sleeper(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__([sys.executable, "-c", "import time; time.sleep(60)"])
            started.append(self)

    def get(url):
        answer.request = httpx.Request("GET", url)
        if isinstance(answer, httpx.Response):
            return answer
        started[0].kill()
        raise answer

    monkeypatch.setattr(load.subprocess, "Popen", Sleeper)
    monkeypatch.setattr(load.httpx, "get", get)
    expected = (httpx.HTTPStatusError, RuntimeError)
    with pytest.raises(expected), load.serving({"x": tmp_path}):
        pass
    assert started[0].returncode is not None


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
