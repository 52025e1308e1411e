"""Serves exported models over HTTP with TensorFlow Serving's REST interface.

A model is a folder that `model.export("exported/digits/1")` wrote, or a folder of such
numbered versions, of which the newest is served. The server needs TensorFlow, FastAPI,
uvicorn and `checked_request.py`. It does not need this library.

    python examples/serve.py digits=exported/digits --port 8501
    curl localhost:8501/v1/models/digits
    curl localhost:8501/v1/models/digits:predict -d '{"instances": [...]}'

Waiting requests go through a model together. Each model has one thread.
"""

import argparse
import asyncio
import logging
import reprlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import tensorflow as tf
import uvicorn
from checked_request import (
    MOST,
    MOST_SAID,
    SIGNATURE,
    as_numbers,
    check_count,
    check_finite,
    instances_of,
)
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

LOG = logging.getLogger("serve")


@dataclass(frozen=True)
class Limits:
    """Limits on the requests of clients.

    Args:
        body: Most bytes of a request body. Parsed, it takes up to 35 times as many.
        seconds: Most seconds until the body has arrived.
        waiting: Most prediction requests in progress, counted from their first byte.
    """

    body: int = 32 << 20
    seconds: float = 60.0
    waiting: int = 256


async def read(request: Request, limits: Limits) -> bytes:
    """Reads the body; refuses one that is too large or too slow."""
    try:
        async with asyncio.timeout(limits.seconds):
            return await read_up_to(request, limits.body)
    except TimeoutError:
        raise HTTPException(
            408, f"The body must arrive within {limits.seconds:g} seconds"
        ) from None
    except ClientDisconnect:
        raise HTTPException(400, "The body must be sent to its end") from None


async def read_up_to(request: Request, most: int) -> bytes:
    size = int(request.headers.get("content-length", 0))
    body = bytearray()
    if size <= most:
        async for part in request.stream():
            body += part
            size = max(size, len(body))
            if size > most:
                break
    if size > most:
        raise HTTPException(
            413,
            f"The body must be at most {most} bytes. Received: at least {size}",
            {"connection": "close"},  # the rest of the body is not read
        )
    return bytes(body)


def newest_version(folder: Path) -> Path:
    """The folder itself if it is a SavedModel, else its highest numbered version."""
    is_model = tf.saved_model.contains_saved_model
    if is_model(folder):
        return folder
    numbered = [path for path in folder.glob("*") if path.name.isdecimal()]
    versions = [path for path in numbered if is_model(path)]
    if not versions:
        raise ValueError(
            "`folder` must be a SavedModel, or contain numbered versions of one, such "
            f"as {folder / '1'}. Received: folder={str(folder)!r}"
        )
    return max(versions, key=lambda path: int(path.name))


def kinds_of(dtype: tf.DType) -> set[type]:
    """Types that JSON values of this dtype parse to; a boolean is not an integer."""
    if dtype.is_floating:
        return {int, float}
    return {int} if dtype.is_integer else {bool} if dtype.is_bool else set()


def rows_of(outputs: Mapping[str, np.ndarray]) -> list:
    for name, output in outputs.items():
        check_finite(name, output)
    if len(outputs) == 1:
        return next(iter(outputs.values())).tolist()
    columns = {name: output.tolist() for name, output in outputs.items()}
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


class Served:
    """A SavedModel and the thread that runs it."""

    def __init__(self, folder: str | Path) -> None:
        path = newest_version(Path(folder))
        self.version = str(int(path.name)) if path.name.isdecimal() else "1"
        self._loaded = tf.saved_model.load(str(path))
        signatures = self._loaded.signatures
        if SIGNATURE not in signatures:
            raise ValueError(
                f"A model must have the signature {SIGNATURE!r}. "
                f"Received: folder={str(path)!r}, signatures={sorted(signatures)}"
            )
        self._function = signatures[SIGNATURE]
        _, inputs = self._function.structured_input_signature
        if len(inputs) != 1:
            raise ValueError(
                "A model must have one input. "
                f"Received: folder={str(path)!r}, inputs={sorted(inputs)}"
            )
        ((self._input, self._spec),) = inputs.items()
        if not kinds_of(self._spec.dtype):
            raise ValueError(
                "A model must take numbers. "
                f"Received: folder={str(path)!r}, dtype={self._spec.dtype.name}"
            )
        self._waiting: SimpleQueue = SimpleQueue()
        self._held: tuple[np.ndarray, Future] | None = None
        Thread(target=self._run, daemon=True).start()

    def check(self, instances: list) -> np.ndarray:
        """The instances as an array; raises a ValueError that says what is wrong."""
        batch, *image = self._spec.shape
        expected = (batch or "n", *image)
        if batch is None and len(instances) > MOST:
            check_count(instances, MOST)
        dtype = self._spec.dtype
        try:
            images = as_numbers(instances, dtype.as_numpy_dtype, kinds_of(dtype))
        except ValueError as error:
            raise ValueError(
                f"`instances` must be {dtype.name} numbers of the shape "
                f"{expected}: {error}. Received: instances="
                f"{reprlib.repr(instances)[:80]}"
            ) from None
        if not self._spec.shape.is_compatible_with(images.shape):
            raise ValueError(
                f"`instances` must be of the shape {expected}. "
                f"Received: instances.shape={images.shape}"
            )
        if not instances:
            check_count(instances, MOST)
        check_finite("instances", images)
        return images

    def submit(self, images: np.ndarray) -> Future:
        """A future of the outputs by name, for checked images."""
        outputs: Future = Future()
        self._waiting.put((images, outputs))
        return outputs

    def predict(self, images: np.ndarray) -> list:
        """One row per image: the output, or a mapping of all outputs by name."""
        return rows_of(self.submit(images).result())

    def _run(self) -> None:
        while True:
            self._answer(self._next_batch())

    def _answer(self, requests: list) -> None:
        try:
            arrays = self._outputs(np.concatenate([images for images, _ in requests]))
        except Exception as error:
            if len(requests) == 1:
                requests[0][1].set_exception(error)
                return
            # Only the request that causes the error should fail.
            for request in requests:
                self._answer([request])
            return
        start = 0
        for images, answer in requests:
            rows = slice(start, start + len(images))
            answer.set_result({name: array[rows] for name, array in arrays.items()})
            start = rows.stop

    def _outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self._function(**{self._input: tf.constant(images)})
        arrays = {name: output.numpy() for name, output in outputs.items()}
        for name, array in arrays.items():
            if array.shape[:1] != (len(images),):
                raise ValueError(
                    "Every output must have a row for each of the instances. "
                    f"Received: {name}.shape={array.shape}, "
                    f"instances.shape={images.shape}"
                )
        return arrays

    def _next_batch(self) -> list:
        """The oldest request, and the next ones that fit into its batch, in order."""
        requests = [self._held or self._waiting.get()]
        self._held = None
        size, room = requests[0][0].shape[1:], MOST - len(requests[0][0])
        # An export with a fixed batch size takes the images of one request.
        while self._spec.shape[0] is None:
            try:
                request = self._waiting.get_nowait()
            except Empty:
                break
            images, _ = request
            if images.shape[1:] != size or len(images) > room:
                self._held = request
                break
            requests.append(request)
            room -= len(images)
        return requests


def create_app(models: Mapping[str, Served], limits: Limits = Limits()) -> FastAPI:
    """The application that serves models by name.

    Nothing blocks its event loop or a thread that a status request needs. A separate
    pool of threads parses requests and writes answers, and predictions are awaited.
    """
    app = FastAPI()
    pool = ThreadPoolExecutor(2, "json")
    in_work = 0

    def find(name: str) -> Served:
        if name not in models:
            known = ", ".join(models)
            said = reprlib.repr(name)
            raise HTTPException(404, f"There is no model {said}. Models: {known}")
        return models[name]

    @asynccontextmanager
    async def one_more() -> AsyncIterator[None]:
        nonlocal in_work
        if in_work >= limits.waiting:
            raise HTTPException(
                503, f"There are {in_work} requests in progress; try again later"
            )
        in_work += 1
        try:
            yield
        finally:
            in_work -= 1

    @app.get("/v1/models/{name}")
    async def status(name: str) -> dict:
        version = find(name).version
        available = {"error_code": "OK", "error_message": ""}
        return {
            "model_version_status": [
                {"version": version, "state": "AVAILABLE", "status": available}
            ]
        }

    @app.post("/v1/models/{name}:predict")
    async def predict(name: str, request: Request) -> JSONResponse:
        served = find(name)
        async with one_more():
            try:
                images = await asked_for(request, served)
            except ValueError as error:
                raise HTTPException(400, str(error)) from None
            try:
                # A client that disconnects must not cancel the model's future.
                outputs = asyncio.shield(asyncio.wrap_future(served.submit(images)))
                return await in_pool(answer_of, await outputs)
            except Exception as error:
                LOG.exception("The model %r failed", name)
                raise HTTPException(500, f"The model failed: {error}") from error

    async def asked_for(request: Request, served: Served) -> np.ndarray:
        body = await read(request, limits)
        return await in_pool(lambda: served.check(instances_of(body)))

    async def in_pool(function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, function, *arguments)

    # Starlette's class: errors of unknown routes are not FastAPI's.
    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        said = str(error.detail)[:MOST_SAID]
        return JSONResponse({"error": said}, error.status_code, error.headers)

    return app


def answer_of(outputs: Mapping[str, np.ndarray]) -> JSONResponse:
    return JSONResponse({"predictions": rows_of(outputs)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models",
        nargs="+",
        metavar="NAME=FOLDER",
        help="folder that `model.export` wrote, or folder of numbered versions",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument(
        "--body", type=int, default=32, metavar="MIB", help="largest request body"
    )
    parser.add_argument(
        "--body-seconds",
        type=float,
        default=60,
        help="seconds until the body has arrived",
    )
    parser.add_argument(
        "--waiting", type=int, default=256, help="most requests in progress"
    )
    parser.add_argument(
        "--grace", type=int, default=10, help="seconds for open requests at shutdown"
    )
    options = parser.parse_args()
    for name in ("body", "body_seconds", "waiting", "grace"):
        if not getattr(options, name) > 0:
            said = f"--{name.replace('_', '-')} must be above 0"
            parser.error(f"{said}. Received: {getattr(options, name)}")
    if not all("=" in model for model in options.models):
        parser.error(f"models must be NAME=FOLDER. Received: {options.models}")
    pairs = [model.split("=", 1) for model in options.models]
    if len(dict(pairs)) < len(pairs):
        parser.error(f"models must have different names. Received: {options.models}")
    try:
        models = {name: Served(folder) for name, folder in pairs}
    except ValueError as error:
        parser.error(str(error))
    uvicorn.run(
        create_app(
            models, Limits(options.body << 20, options.body_seconds, options.waiting)
        ),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=options.grace,
    )


if __name__ == "__main__":
    main()
