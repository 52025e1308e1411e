"""Reads a run in many damaged and hostile forms, each in a process of its own.

    python tests/support/fuzz_runs.py --cases 1000

It fails where one gives anything but a clear error or a result, takes more than 10
seconds of a core, or 1 GiB of memory beyond what the imports take. The seed of one that
fails is printed; `--first SEED --cases 1` runs it again. Linux only.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2  # noqa: F401
import matplotlib.backends.backend_agg  # noqa: F401
import run_mutations
import scipy.stats  # noqa: F401

SECONDS, MEMORY = 10, 1 << 30
# A shared machine may be slow; what hangs is killed.
PATIENCE = 120


def main() -> int:
    """Runs the cases one by one, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--said", action="store_true", help="print what was said")
    options = parser.parse_args()
    # What is imported is imported once; TensorFlow works in the forks alone.
    context = multiprocessing.get_context("fork")
    outcomes: Counter[str] = Counter()
    seconds, memory, began = 0.0, 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-runs-") as folder:
        _run(context, _make, folder)
        for seed in range(options.first, options.first + options.cases):
            ended, said, spent, taken = _run(context, _case, folder, seed)
            if ended != "ok" or spent > SECONDS or taken > MEMORY:
                print(f"seed {seed} failed: {ended}, {spent:.1f} s, {taken:,} bytes")
                print(said, flush=True)
                outcomes["failed"] += 1
                continue
            if options.said:
                print(said, flush=True)
            outcomes[said.split(": ", 3)[2]] += 1
            seconds, memory = max(seconds, spent), max(memory, taken)
            if (seed + 1 - options.first) % 50 == 0:
                print(
                    f"{seed + 1 - options.first:,} cases, {dict(outcomes)}, at most "
                    f"{seconds:.1f} s of a core and {memory >> 20} MiB; "
                    f"{time.monotonic() - began:.0f} s",
                    flush=True,
                )
    return int(outcomes["failed"] > 0)


def _run(context: Any, target: Any, *arguments: Any) -> tuple[str, str, float, int]:
    """How it ended, what it said, seconds of a core, and bytes of memory."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sender, *arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(PATIENCE) else ("hangs", "", 0.0, 0)
    except EOFError:
        return "ended without a word", "", 0.0, 0
    finally:
        process.kill()
        process.join()


def _make(sender: Any, folder: str) -> None:
    run_mutations.make(Path(folder))
    sender.send(("ok", "", 0.0, 0))


def _case(sender: Any, folder: str, seed: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    before = pages * os.sysconf("SC_PAGE_SIZE")
    try:
        ended, said = "ok", run_mutations.check_drawn(Path(folder), seed)
    except AssertionError:
        ended, said = "not clear", traceback.format_exc()
    used = resource.getrusage(resource.RUSAGE_SELF)
    taken = used.ru_maxrss * 1024 - before
    sender.send((ended, said, used.ru_utime + used.ru_stime, taken))


if __name__ == "__main__":
    sys.exit(main())
