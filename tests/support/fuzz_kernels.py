"""Calls every CPU kernel in many drawn ways, and compares with the reference.

`make fuzz` draws 100,000 cases. The seed of one that fails is printed;
`python tests/support/fuzz_kernels.py --first SEED --cases 1` runs it again.
"""

import argparse
import faulthandler
import multiprocessing
import sys
import time
import traceback
from typing import Any

WORKERS = 2


def main() -> int:
    """Runs the cases in a few processes, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    last = options.first + options.cases
    seeds = [context.Value("q", options.first + i) for i in range(WORKERS)]
    workers = [context.Process(target=_work, args=(seed, last)) for seed in seeds]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        for worker in workers:
            worker.join(30 / WORKERS)
        done = sum(max(0, seed.value - options.first) for seed in seeds) // WORKERS
        spent = time.monotonic() - began
        print(f"{done:,} of {options.cases:,} cases, {spent:.0f} s", flush=True)
        if any(worker.exitcode for worker in workers):
            break
    for worker, seed in zip(workers, seeds, strict=True):
        if worker.exitcode:
            print(f"seed {seed.value} failed: exit status {worker.exitcode}")
        worker.terminate()
    return int(any(worker.exitcode for worker in workers))


def _work(seed: Any, last: int) -> None:
    faulthandler.enable()
    import kernel_cases

    while seed.value < last:
        try:
            kernel_cases.check_drawn(seed.value)
        except AssertionError:
            traceback.print_exc()
            sys.exit(1)
        seed.value += WORKERS


if __name__ == "__main__":
    sys.exit(main())
