"""Writes docs/backends.md from what backend_cells.py finds.

python tests/support/backends_page.py                # the page, from the stored cells
python tests/support/backends_page.py --run  # all cells anew first, some minutes
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORED = ROOT / "benchmarks/results/backends.json"
PAGE = ROOT / "docs/backends.md"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}

INTRODUCTION = """\
# Backends, precision, saving

One process for each backend makes a model of each layer in each way of running, trains
it for a step, and compares its pixels: filters bit for bit with the kernels, masks bit
for bit with the images, the rest with the same model called eagerly. This page is
written from what they found, and a test keeps both together
(`python tests/support/backends_page.py --run`).

The same cells are the same pixels on all three backends, to the last bit, and the same
views the same labels. The same *seed* is not the same mask: each backend has random
numbers of its own, and so has XLA on TensorFlow.

- **eager**: `run_eagerly=True`. **graph**: `jit_compile=False`, a graph on TensorFlow
  and on JAX and PyTorch the same calls as eagerly. **compiled**: `jit_compile=True`,
  which is XLA on TensorFlow and JAX and `torch.compile` on PyTorch. `"auto"` compiles
  wherever Keras would without our layers.
- **.keras**: saved, loaded in safe mode, and weights alone; the same outputs.
- **export**: a SavedModel, or ONNX on PyTorch, run without Keras; masks without a
  seed, fresh on every call. [Export and serving](serving.md) has more.
"""

# What there is to say of a cell, by a part of what it says itself.
REASONS = {
    "other masks than eagerly": "From the same seed other masks than eagerly: XLA "
    "draws other numbers than TensorFlow. Every call draws anew all the same.",
    "in float32": "In float32: JAX has float64 only where `JAX_ENABLE_X64` is set, and "
    "on PyTorch Keras 3.15 takes float32 for what float64 and float32 make together.",
    "random numbers, fresh after every load": "What JAX exports has no random numbers "
    "that are fresh after every load: refused, with what to do instead. A mask with a "
    "seed is exported.",
    "operator Sort, Out parameter": "With all three samplings in one model: PyTorch's "
    'ONNX exporter lacks the stable sort of `"fixed_count"` and `"partition"`. '
    '`"bernoulli"` is exported, as the vote\'s here.',
    "Argument passed to at()": "PyTorch 2.13's ONNX exporter fails on it with an "
    "`IndexError`.",
    "Keras leaves the compiler out": "A kernel that was forced cannot be part of what "
    'XLA compiles: the model runs without XLA, and Keras warns of it. `"auto"` takes '
    "the operations there.",
    "grad_weight must be contiguous": "PyTorch 2.13 has no gradient for the weights of "
    "a float64 convolution with padding on a CPU, with a mask or without.",
}


def run(backend: str, only: Iterable[str] = ()) -> dict[str, dict]:
    """The cells of a backend, in a process of its own."""
    finished = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("backend_cells.py")), *only],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    if finished.returncode:
        raise RuntimeError(f"{backend}: {finished.stderr[-2000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def page(stored: dict[str, dict[str, dict]]) -> str:
    """The page of all cells."""
    return "\n".join([INTRODUCTION, *tables(stored)]) + "\n"


def tables(stored: dict[str, dict[str, dict]]) -> Iterator[str]:
    notes: list[str] = []
    for backend, title in BACKENDS.items():
        cells = {
            tuple(key.split(" / ")): cell
            for key, cell in stored[backend].items()
            if " / " in key
        }
        modes = list(dict.fromkeys(mode for _, mode in cells))
        yield f"## {title}\n"
        yield "| layer | " + " | ".join(modes) + " |"
        yield "|---" * (len(modes) + 1) + "|"
        for layer in dict.fromkeys(layer for layer, _ in cells):
            marks = [mark(backend, cells[layer, mode], notes) for mode in modes]
            yield f"| {layer} | " + " | ".join(marks) + " |"
        yield ""
    yield "## Functions\n"
    names = [key for key in stored["tensorflow"] if " / " not in key]
    yield "| | " + " | ".join(BACKENDS.values()) + " |"
    yield "|---" * (len(BACKENDS) + 1) + "|"
    for name in names:
        marks = [mark(b, stored[b][name], notes) for b in BACKENDS]
        yield f"| {name} | " + " | ".join(marks) + " |"
    yield "\n## Notes\n"
    for number, note in enumerate(notes, 1):
        yield f"{number}. {note}"


def mark(backend: str, cell: dict, notes: list[str]) -> str:
    """Yes or no, with the number of what there is to say of it."""
    word = "yes" if cell["works"] else "**no**"
    if not cell["said"]:
        return word
    note = reason(backend, cell["said"])
    if note not in notes:
        notes.append(note)
    return f"{word} ({notes.index(note) + 1})"


def reason(backend: str, said: str) -> str:
    """In our words; the error of a cell without any is an error of this page."""
    for part, words in REASONS.items():
        if part in said:
            return words
    raise LookupError(f"no reason is given for {backend}: {said}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", action="store_true")
    if parser.parse_args().run:
        found = {
            backend: {
                name: {"works": cell["works"], "said": cell["said"]}
                for name, cell in run(backend).items()
            }
            for backend in BACKENDS
        }
        STORED.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(page(json.loads(STORED.read_text())))
