"""Two workers of a Ray cluster against one process, and what one pass costs.

    python benchmarks/on_ray.py

The same pieces of an adaptive attack are done by one process, whose threads take all
cores, and by the workers, in turn, so that a drift of the machine's speed falls on
both; what comes out must be the same, byte for byte. CPU seconds are those of the
processes that do the work, and hardly depend on what else the machine does. Starting
the cluster, its workers and Keras in each of them is timed apart.
"""

import argparse
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Ray's is 15, and whatever else the machine does would count against it alone.
os.environ.setdefault("RAY_worker_niceness", "0")

import keras
import numpy as np
import ray
from paired import QUARTILES

import keras_maskdef as kmd
from keras_maskdef.attacks import Target
from keras_maskdef.engines import LocalEngine, RayEngine
from keras_maskdef.evaluation.columns import columns_of
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.evaluation.worker import Piece, Worker

JUDGEMENTS = 10


def timed(work):
    """With the CPU and wall seconds of each piece, of whatever process does it."""

    def work_and_time(piece):
        began = time.process_time(), time.perf_counter()
        results = list(work(piece))
        ended = time.process_time(), time.perf_counter()
        yield results, np.subtract(ended, began)

    return work_and_time


def adaptive_work(samples, steps, batches, batch_size):
    """The vote on a LeNet, and pieces of an adaptive attack on it."""
    keras.utils.set_random_seed(0)
    mask = kmd.RandomGridMask(7, 0.75, sampling="partition")
    lenet = kmd.architectures.lenet()
    vote = kmd.VotingEnsemble(lenet, mask, votes=4, pooling="geometric")
    images, labels, _ = kmd.datasets.sample(f"test[:{batches * batch_size}]")
    columns = columns_of(vote, images)
    worker = Worker(vote, columns, images, None, 0, JUDGEMENTS)
    options = (("steps", steps),)
    attack = Scenario("adaptive", "pgd", "linf", (0.1,), "foolbox", options, samples)
    parts = np.split(images, batches), np.split(labels, batches)
    pieces = [
        Piece(attack, batch, *part, ("defended",))
        for batch, part in enumerate(zip(*parts, strict=True))
    ]
    return worker, pieces


def done(do, pieces):
    """Wall seconds, CPU and wall seconds in the pieces, and the arrays by batch."""
    began = time.perf_counter()
    found = list(do(pieces))
    wall = time.perf_counter() - began
    outcomes = {piece.batch: results[0][1] for piece, (results, _) in found}
    return wall, sum(seconds for _, (_, seconds) in found), outcomes


def compare(worker, pieces, rounds, workers):
    began = time.perf_counter()
    walls, cpus, busy = [], [], []
    with (
        LocalEngine().started(timed(worker)) as here,
        RayEngine(workers, "local").started(timed(worker)) as there,
    ):
        # Each worker compiles once, and so does this process.
        done(there, pieces)
        started = time.perf_counter() - began
        done(here, pieces)
        for _ in range(rounds):
            wall, (cpu, _), outcomes = done(here, pieces)
            wall_there, (cpu_there, inside), outcomes_there = done(there, pieces)
            for batch, arrays in outcomes.items():
                for name, array in arrays.items():
                    assert array.tobytes() == outcomes_there[batch][name].tobytes()
            walls.append(wall / wall_there)
            cpus.append(cpu_there / cpu)
            busy.append(cpu_there / inside)
            print(f"{wall:.1f} s here, {wall_there:.1f} s on Ray", flush=True)
    return {
        "workers": workers,
        "rounds": rounds,
        "one_process_over_ray_wall": quartiles(walls),
        "ray_over_one_process_cpu": quartiles(cpus),
        # Of workers with one thread each: 1 where no core is waited for.
        "cpu_over_wall_in_a_worker": quartiles(busy),
        "start_and_first_round_s": round(started, 1),
    }


def pass_cost(model, shape, batch, repeats):
    """CPU seconds of one image forwards, and forwards and back to its pixels."""
    images = np.random.default_rng(0).random((batch, *shape)).astype("float32")
    labels = np.zeros(batch, int)
    target = Target(model)
    calls = {
        "forward_cpu_s": lambda: target.logits(images).numpy(),
        "gradient_cpu_s": lambda: target.loss_gradient(images, labels)[1].numpy(),
    }
    costs = {}
    for name, call in calls.items():
        call()
        seconds = []
        for _ in range(repeats):
            began = time.process_time()
            call()
            seconds.append((time.process_time() - began) / batch)
        costs[name] = float(f"{np.median(seconds):.3g}")
    return costs


def device():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(": ")[1] for line in lines if line.startswith("model name"))


def quartiles(values):
    return [round(float(value), 3) for value in np.quantile(values, QUARTILES)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=10)
    output = Path("benchmarks/results/ray.json")
    parser.add_argument("--output", type=Path, default=output)
    options = parser.parse_args()
    settings = {n: getattr(options, n) for n in ("samples", "steps", "batches")}
    work = adaptive_work(**settings, batch_size=options.batch_size)
    found = {
        "datetime": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": {m.__name__: m.__version__ for m in (kmd, keras, ray)},
        "attack": {**settings, "batch_size": options.batch_size},
        **compare(*work, options.rounds, options.workers),
        "same_bytes": True,
        "passes": {
            "LeNet, 28x28": pass_cost(kmd.architectures.lenet(), (28, 28, 1), 200, 9),
            "ResNet50, 224x224": pass_cost(
                keras.applications.ResNet50(weights=None), (224, 224, 3), 4, 5
            ),
        },
    }
    options.output.write_text(json.dumps(found, indent=1) + "\n")
    print(options.output.read_text())


if __name__ == "__main__":
    main()
