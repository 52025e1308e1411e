"""An exported ONNX model behind gunicorn. Each forked worker draws different masks.

    MODEL=digits.onnx gunicorn --workers 3 --chdir examples preforked:app
    curl localhost:8000 -d '{"instances": [...]}'

A fork copies ONNX Runtime's random generator. If the parent process has used a session,
all forked workers draw the same masks, also in sessions that they create themselves.
Therefore this module creates no session before the fork, with or without `--preload`,
and each worker seeds the runtime. Without that seed, ONNX Runtime takes one from the
clock.

gunicorn's usual (sync) workers handle one request at a time, and wait for its body as
long as the client lets them. A few slow clients would occupy all workers: put a proxy
in front that buffers requests, such as nginx.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import onnxruntime
from checked_request import (
    MOST_SAID,
    as_numbers,
    check_count,
    check_finite,
    instances_of,
)
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
    status = "400 Bad Request"
    try:
        images = images_of(body_of(environ))
        found = model.run(None, {model.get_inputs()[0].name: images})[0]
        status = "500 Internal Server Error"  # what is wrong now is the model's fault
        check_finite("predictions", found)
        status, answer = "200 OK", {"predictions": found.tolist()}
    except (ValueError, InvalidArgument) as error:
        answer = {"error": str(error)[:MOST_SAID]}
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def body_of(environ: dict) -> bytes:
    """The body, of a length that was told, or in chunks, whose end gunicorn knows."""
    in_chunks = bool(environ.get("HTTP_TRANSFER_ENCODING"))
    size = int(environ.get("CONTENT_LENGTH") or 0)
    body = b""
    if size <= MOST_BYTES:
        try:
            body = environ["wsgi.input"].read(MOST_BYTES + 1 if in_chunks else size)
        except OSError as error:
            raise ValueError(f"the body must be sent to its end: {error}") from error
        size = len(body)
    if not 0 < size <= MOST_BYTES:
        raise ValueError(
            f"the body must be 1 to {MOST_BYTES} bytes. Received: at least {size}"
        )
    return body


def images_of(body: bytes) -> np.ndarray:
    instances = instances_of(body)
    check_count(instances)
    try:
        images = as_numbers(instances, "float32", {int, float})
    except ValueError as error:
        raise ValueError(f"`instances` must be lists of numbers: {error}") from None
    check_finite("instances", images)
    return images
