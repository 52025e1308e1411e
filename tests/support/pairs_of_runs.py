"""Two runs that begin at once in one folder, on a disk that takes its time.

    python tests/support/pairs_of_runs.py --pairs 100

Of two different runs one is refused and leaves no trace, of two that are the same none
is. Each run is a process that opens the folder and writes what an evaluation writes;
every look at the disk, and every name given to a file, waits a random while.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.core.run_folder import CONFIG, RESULTS, RunFolder

LONGEST, PIECES = 0.02, 3
SLOW = ((os, "link"), (os, "replace"), (Path, "exists"), (Path, "glob"))


def main() -> int:
    """Runs the pairs, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    options = parser.parse_args()
    ends: Counter[str] = Counter()
    for same in (False, True):
        for number in range(options.pairs):
            with tempfile.TemporaryDirectory(prefix="pairs-of-runs-") as folder:
                seeds = (0, 0) if same else (0, 1)
                ends[_pair(Path(folder) / "run", seeds, number)] += 1
        print(f"{options.pairs} pairs, {'the same' if same else 'different'}: {ends}")
        if {*ends} != ({"both done"} if same else {"one refused"}):
            return 1
        ends.clear()
    return 0


def _pair(folder: Path, seeds: tuple[int, int], number: int) -> str:
    """What came of two runs of these seeds."""
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [
        context.Process(
            target=_run, args=(folder, seed, 2 * number + n, barrier, queue)
        )
        for n, seed in enumerate(seeds)
    ]
    for process in processes:
        process.start()
    said = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    done = [seed for seed, error in said if error is None]
    refused = [error for _, error in said if error is not None]
    found = {*_seeds(folder)}
    if len(found) != 1 or any(path.name[0] == "." for path in folder.rglob("*")):
        return f"mixed: {sorted(found)}"
    if not refused:
        return "both done"
    if found == {*done} and "another configuration" in refused[0]:
        return "one refused"
    return f"refused: {refused}"


def _run(folder: Path, seed: int, draw: int, barrier: Any, queue: Any) -> None:
    for owner, name in SLOW:
        setattr(owner, name, _slow(getattr(owner, name), random.Random(draw)))
    barrier.wait()
    try:
        # Of two that are the same the second one takes part.
        store = RunFolder(folder, {"seed": seed}, resume=True)
        for piece in range(PIECES):
            store.save(f"piece-{piece}", {"seed": np.array(seed)})
        store.write_json(RESULTS, {"seed": seed})
        queue.put((seed, None))
    except (OSError, ValueError) as error:
        queue.put((seed, str(error)))


def _slow(call: Any, draw: random.Random) -> Any:
    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(draw.uniform(0, LONGEST))
        found = call(*arguments, **options)
        time.sleep(draw.uniform(0, LONGEST))
        return found

    return slow


def _seeds(folder: Path) -> list[int]:
    """Of all files of the run."""
    plain = [json.loads((folder / name).read_text()) for name in (CONFIG, RESULTS)]
    arrays = [np.load(path)["seed"] for path in folder.rglob("*.npz")]
    return [*(content["seed"] for content in plain), *map(int, arrays)]


if __name__ == "__main__":
    sys.exit(main())
