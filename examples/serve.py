"""Exported models behind HTTP, in the form of TensorFlow Serving's REST interface.

The models are what `model.export("exported/digits/1")` wrote: the newest numbered
version in a folder, or a folder by itself. Serving them takes TensorFlow, FastAPI and
uvicorn, and nothing of this library.

    python examples/serve.py digits=exported/digits --port 8501
    curl localhost:8501/v1/models/digits
    curl localhost:8501/v1/models/digits:predict -d '{"instances": [...]}'

Requests that wait together go through a model together, in one thread for each model.
"""

import argparse
import logging
import reprlib
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Annotated, Literal

import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException as AnyHTTPException

# Images that go through a model at once, and that one request may have.
MOST = 256

LOG = logging.getLogger("serve")


class Instances(BaseModel):
    """The body of a prediction request."""

    model_config = ConfigDict(extra="forbid")

    instances: list
    signature_name: Literal["serving_default"] = "serving_default"


async def read(request: Request) -> Instances:
    """The body, of whatever content type: curl and many clients do not say JSON."""
    body = await request.body()
    try:
        return Instances.model_validate_json(body)
    except ValidationError as error:
        why = "; ".join(
            ": ".join([*map(str, wrong["loc"]), wrong["msg"]])
            for wrong in error.errors(include_input=False, include_url=False)
        )
        received = body[:80].decode(errors="replace")
        raise HTTPException(
            400,
            f'The body must be JSON, {{"instances": [...]}}: {why}. '
            f"Received: body={received!r}",
        ) from None


def newest_version(folder: Path) -> Path:
    """A folder that is a SavedModel, or the one with the highest number within it."""
    is_model = tf.saved_model.contains_saved_model
    if is_model(folder):
        return folder
    numbered = [path for path in folder.glob("*") if path.name.isdecimal()]
    versions = [path for path in numbered if is_model(path)]
    if not versions:
        raise ValueError(
            "`folder` must be a SavedModel, or have numbered versions of one in it, "
            f"as {folder / '1'}. Received: folder={str(folder)!r}"
        )
    return max(versions, key=lambda path: int(path.name))


def check_finite(name: str, array: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = wrong[0].tolist()
        raise ValueError(
            f"`{name}` must be finite. Received: {name}{place}={array[tuple(place)]}"
        )


class Served:
    """A SavedModel, and the thread that runs it."""

    def __init__(self, folder: str | Path) -> None:
        path = newest_version(Path(folder))
        self.version = str(int(path.name)) if path.name.isdecimal() else "1"
        self._loaded = tf.saved_model.load(str(path))
        signatures = self._loaded.signatures
        if "serving_default" not in signatures:
            raise ValueError(
                "A model must have the signature 'serving_default'. "
                f"Received: folder={str(path)!r}, signatures={sorted(signatures)}"
            )
        self._function = signatures["serving_default"]
        _, inputs = self._function.structured_input_signature
        if len(inputs) != 1:
            raise ValueError(
                "A model must have one input. "
                f"Received: folder={str(path)!r}, inputs={sorted(inputs)}"
            )
        ((self._input, self._spec),) = inputs.items()
        self._waiting: SimpleQueue = SimpleQueue()
        self._held: tuple[np.ndarray, Future] | None = None
        Thread(target=self._run, daemon=True).start()

    def check(self, instances: list) -> np.ndarray:
        """The instances as an array, or a ValueError that says what is wrong."""
        batch, *image = self._spec.shape
        expected = (batch or "n", *image)
        try:
            images = np.array(instances, self._spec.dtype.as_numpy_dtype)
        except (OverflowError, TypeError, ValueError) as error:
            raise ValueError(
                f"`instances` must be {self._spec.dtype.name} numbers of the shape "
                f"{expected}: {error}. Received: instances="
                f"{reprlib.repr(instances)[:80]}"
            ) from None
        if not self._spec.shape.is_compatible_with(images.shape):
            raise ValueError(
                f"`instances` must be of the shape {expected}. "
                f"Received: instances.shape={images.shape}"
            )
        if batch is None and not 0 < len(images) <= MOST:
            raise ValueError(
                f"`instances` must be 1 to {MOST} of them. "
                f"Received: len(instances)={len(images)}"
            )
        check_finite("instances", images)
        return images

    def submit(self, images: np.ndarray) -> Future:
        """What will be the outputs, by their names, for images that were checked."""
        outputs: Future = Future()
        self._waiting.put((images, outputs))
        return outputs

    def predict(self, images: np.ndarray) -> list:
        """A row for each image: one output, or a mapping of them all by their names."""
        outputs = self.submit(images).result()
        for name, output in outputs.items():
            check_finite(name, output)
        if len(outputs) == 1:
            return next(iter(outputs.values())).tolist()
        columns = {name: output.tolist() for name, output in outputs.items()}
        return [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]

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
            # Only the request that is to blame shall fail.
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
        """The oldest request, and those behind it that can go along, in their order."""
        requests = [self._held or self._waiting.get()]
        self._held = None
        size, room = requests[0][0].shape[1:], MOST - len(requests[0][0])
        # An export with a fixed batch takes the images of one request.
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


def create_app(models: Mapping[str, Served]) -> FastAPI:
    """The application that serves models under their names."""
    app = FastAPI()

    def find(name: str) -> Served:
        if name not in models:
            known = ", ".join(models)
            raise HTTPException(404, f"There is no model {name!r}, but: {known}")
        return models[name]

    @app.get("/v1/models/{name}")
    def status(name: str) -> dict:
        version = find(name).version
        available = {"error_code": "OK", "error_message": ""}
        return {
            "model_version_status": [
                {"version": version, "state": "AVAILABLE", "status": available}
            ]
        }

    @app.post("/v1/models/{name}:predict")
    def predict(name: str, body: Annotated[Instances, Depends(read)]) -> JSONResponse:
        served = find(name)
        try:
            images = served.check(body.instances)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        try:
            return JSONResponse({"predictions": served.predict(images)})
        except Exception as error:
            LOG.exception("The model %r failed", name)
            raise HTTPException(500, f"The model failed: {error}") from error

    # Starlette's: those of unknown routes are none of FastAPI's.
    @app.exception_handler(AnyHTTPException)
    def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models",
        nargs="+",
        metavar="NAME=FOLDER",
        help="what `model.export` wrote, or a folder of numbered versions of it",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    options = parser.parse_args()
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
        create_app(models), host=options.host, port=options.port, log_level="warning"
    )


if __name__ == "__main__":
    main()
