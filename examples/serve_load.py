"""A load test of `serve.py` that measures the cost of a vote for a server.

Trains a network under masks. Exports three models: the base model, a vote around it,
and the same vote with its masks among the outputs. Serves all three and lets clients
query them in turn, in short slices, so that other load on the machine affects all of
them.

    python examples/serve_load.py --clients 16 --seconds 30 --output serving.json
"""

import argparse
import asyncio
import json
import math
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import keras
import numpy as np

import keras_maskdef as kmd

MODELS = ("base model", "vote", "vote with its masks")
SLICES = 10


class ShowsMasks(keras.Model):
    """A vote that also returns the masks that it drew."""

    def __init__(self, vote: kmd.VotingEnsemble) -> None:
        super().__init__()
        self.vote = vote

    def build(self, input_shape: tuple) -> None:
        self.vote.build(input_shape)
        self.built = True

    def call(self, images: Any) -> dict:
        keep = self.vote.mask.sample(images, views=self.vote.votes)
        outputs = self.vote.view_outputs(images, keep)
        visible = keras.ops.cast(keras.ops.transpose(keep, (1, 0, 2, 3)), "int32")
        return {"outputs": self.vote.pool(outputs), "visible": visible}


def network(name: str) -> keras.Model:
    if name == "lenet":
        return kmd.architectures.lenet()
    return kmd.architectures.resnet18((28, 28, 1), width=16)


def export_models(folder: Path, options: argparse.Namespace) -> dict[str, Path]:
    images, labels, _ = kmd.datasets.sample(f"train[:{options.train}]")
    classifier = network(options.network)
    mask = kmd.RandomGridMask(cell_size=7, mask_rate=0.75, sampling="partition")
    vote = kmd.VotingEnsemble(classifier, mask, votes=4, pooling="geometric")
    vote.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    vote.fit(images, labels, batch_size=64, epochs=options.epochs, verbose=0)
    shows = ShowsMasks(vote)
    folders = {}
    for name, model in zip(MODELS, (classifier, vote, shows), strict=True):
        model(images[:1])
        folders[name] = folder / name.replace(" ", "_")
        model.export(folders[name] / "1", format="tf_saved_model", verbose=False)
    return folders


@contextmanager
def serving(folders: dict[str, Path]) -> Iterator[str]:
    """Starts a server of the folders and yields its URL; stops the server on exit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = [f"{folder.name}={folder}" for folder in folders.values()]
    script = Path(__file__).with_name("serve.py")
    command = [sys.executable, str(script), *served, "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    url = f"http://127.0.0.1:{port}/v1/models/"
    try:
        wait_for(server, url + next(iter(folders.values())).name)
        yield url
    finally:
        server.terminate()
        server.wait()


def wait_for(server: subprocess.Popen, url: str) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            httpx.get(url).raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError("The server did not start. Its messages are above")


async def ask(sessions: list, url: str, bodies: list[bytes], seconds: float) -> list:
    """The answers of each client within `seconds`: status, latency and content."""

    async def client(session: httpx.AsyncClient, body: bytes) -> list:
        answers = []
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            answer = await session.post(url, content=body)
            took = time.perf_counter() - begun
            answers.append((answer.status_code, took, answer.content))
        return answers

    return await asyncio.gather(*map(client, sessions, bodies))


async def ask_in_turn(urls: dict, bodies: list[bytes], seconds: float) -> dict:
    """For each model and slice, the duration and the result of `ask`."""
    slices: dict[str, list] = {name: [] for name in urls}
    async with AsyncExitStack() as stack:
        # Creating a client takes 50 ms, so clients are reused.
        options = {"headers": {"content-type": "application/json"}, "timeout": 60}
        made = [httpx.AsyncClient(**options) for _ in bodies]
        sessions = [await stack.enter_async_context(session) for session in made]
        for url in urls.values():
            await ask(sessions, url, bodies, 0.5)  # traces the model and warms it up
        for _ in range(SLICES):
            for name, url in urls.items():
                begun = time.perf_counter()
                clients = await ask(sessions, url, bodies, seconds / SLICES)
                slices[name].append((time.perf_counter() - begun, clients))
    return slices


def masks_of(clients: list[list]) -> dict:
    """Counts repeated masks: of whole requests, of clients' streams, of images."""
    streams = []
    for answers in clients:
        rows = [
            json.loads(content)["predictions"]
            for status, _, content in answers
            if status == 200
        ]
        streams.append([[str(row["visible"]) for row in images] for images in rows])
    requests = Counter(str(request) for stream in streams for request in stream)
    images = Counter(i for stream in streams for request in stream for i in request)
    count = images.total()
    # Ways to deal the 16 cells of a digit to four views of four cells each.
    ways = math.factorial(16) // math.factorial(4) ** 4
    return {
        "requests": requests.total(),
        "requests with the same masks": requests.total() - len(requests),
        "equal streams of two clients": len(streams) - len({str(s) for s in streams}),
        "images": count,
        "pairs of images with the same masks": sum(
            n * (n - 1) // 2 for n in images.values()
        ),
        "pairs expected by chance": round(count * (count - 1) / 2 / ways, 2),
    }


def quartiles(values: list[float], digits: int = 1) -> list[float]:
    return [round(float(q), digits) for q in np.percentile(values, [25, 50, 75])]


def measure(url: str, options: argparse.Namespace, folders: dict[str, Path]) -> dict:
    test, _, _ = kmd.datasets.sample(f"test[:{options.clients * options.images}]")
    groups = np.array_split(test, options.clients)
    bodies = [json.dumps({"instances": g.tolist()}).encode() for g in groups]
    asked = {name: f"{url}{folder.name}:predict" for name, folder in folders.items()}
    slices = asyncio.run(ask_in_turn(asked, bodies, options.seconds))
    result: dict[str, Any] = {"models": {}}
    rates = {}
    for name in MODELS:
        answers = [a for _, clients in slices[name] for c in clients for a in c]
        rates[name] = [sum(map(len, clients)) / took for took, clients in slices[name]]
        result["models"][name] = {
            "requests": len(answers),
            "errors": sum(status != 200 for status, _, _ in answers),
            "requests per second": quartiles(rates[name]),
            "latency in ms": quartiles([1000 * took for _, took, _ in answers]),
        }
    for name in MODELS[1:]:
        paired = zip(rates[name], rates["base model"], strict=True)
        ratios = quartiles([defended / base for defended, base in paired], 2)
        result["models"][name]["throughput relative to base model"] = ratios
    by_client = zip(*(clients for _, clients in slices[MODELS[2]]), strict=True)
    result["masks"] = masks_of([sum(parts, []) for parts in by_client])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30, help="seconds per model")
    parser.add_argument("--images", type=int, default=4, help="images in a request")
    parser.add_argument("--network", choices=("lenet", "resnet18"), default="lenet")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train", type=int, default=4000, help="training images")
    parser.add_argument("--output", type=Path, help="JSON file, one run per network")
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        folders = export_models(Path(folder), options)
        with serving(folders) as url:
            result = measure(url, options, folders)
    libraries = ("keras-maskdef", "keras", "tensorflow", "fastapi", "uvicorn", "httpx")
    report = {
        "datetime": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load before": load,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in libraries},
        "network": options.network,
        "clients": options.clients,
        "seconds for each model": options.seconds,
        "images in a request": options.images,
        "quartiles": "25 %, 50 %, 75 %, over slices, or over requests for latencies",
        **result,
    }
    print(json.dumps(report, indent=1))
    if options.output:
        runs = json.loads(options.output.read_text()) if options.output.exists() else {}
        runs[options.network] = report
        options.output.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
