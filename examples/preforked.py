"""An exported ONNX model behind gunicorn. Each forked worker draws different masks.

    MODEL=digits.onnx gunicorn --workers 3 --chdir examples preforked:app
    curl localhost:8000 -d '{"instances": [...]}'

A fork copies ONNX Runtime's random generator. If the parent process has used a session,
all forked workers draw the same masks, also in sessions that they create themselves.
Therefore this module creates no session before the fork, with or without `--preload`,
and each worker seeds the runtime. Without that seed, ONNX Runtime takes one from the
clock.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

MOST_BYTES = 32 << 20


@cache
def session() -> onnxruntime.InferenceSession:
    """This worker's session, created at its first request."""
    onnxruntime.set_seed(secrets.randbits(31))
    return onnxruntime.InferenceSession(os.environ["MODEL"])


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """The WSGI application."""
    model = session()  # a missing model is not a fault of the request
    try:
        images = images_of(body_of(environ))
        found = model.run(None, {model.get_inputs()[0].name: images})[0]
        status, answer = "200 OK", {"predictions": found.tolist()}
    except (ValueError, InvalidArgument) as error:
        status, answer = "400 Bad Request", {"error": str(error)[:1000]}
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def body_of(environ: dict) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= MOST_BYTES:
        raise ValueError(
            f"the body must have a length of 1 to {MOST_BYTES} bytes. Received: "
            f"Content-Length={length}"
        )
    return environ["wsgi.input"].read(length)


def images_of(body: bytes) -> np.ndarray:
    content = json.loads(body)
    if not isinstance(content, dict) or "instances" not in content:
        raise ValueError('the body must be JSON, {"instances": [...]}')
    try:
        return np.asarray(content["instances"], "float32")
    except TypeError as error:
        raise ValueError(f"`instances` must be lists of numbers: {error}") from error
