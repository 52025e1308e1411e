"""Writes docs/backends.md from the results of backend_cells.py.

python tests/support/backends_page.py                # the page, from the stored cells
python tests/support/backends_page.py --run  # runs all cells first, some minutes
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

A script runs one process per backend. It builds a model with each layer in each
execution mode, trains it for one step, and compares the pixels: of filters with the
kernels, bit for bit; of masks with the images, bit for bit; of everything else with the
same model called eagerly. This page is generated from the results, and a test keeps the
two equal (`python tests/support/backends_page.py --run`).

The same masked cells give the same pixels on all three backends, to the last bit, and
the same views give the same labels. The same *seed* does not give the same mask: each
backend has its own random numbers, and so has XLA on TensorFlow.

- **eager**: `run_eagerly=True`. **graph**: `jit_compile=False`, which is a graph on
  TensorFlow, and the same calls as eager on JAX and PyTorch. **compiled**:
  `jit_compile=True`, which is XLA on TensorFlow and JAX and `torch.compile` on PyTorch.
  `"auto"` compiles wherever Keras would compile a model without these layers.
- **mixed_float16**, **mixed_bfloat16**, **float64**: the dtype policy of the layers.
- **.keras**: saved and loaded in safe mode, and weights alone; the outputs are the
  same.
- **export**: a SavedModel, or ONNX on PyTorch, run without Keras. Masks without a seed
  are fresh on every call. [Export and serving](serving.md) has more.
"""

# The note on a cell, by a part of the message that the cell recorded.
REASONS = {
    "other masks than eagerly": "The same seed gives other masks than eager calls: XLA "
    "draws other numbers than TensorFlow. Every call still draws new masks.",
    "in float32": "Computed in float32: JAX has float64 only if `JAX_ENABLE_X64` is "
    "set, and on PyTorch Keras 3.15 combines float64 and float32 into float32.",
    "random numbers, fresh after every load": "Refused, with a message that names the "
    "alternative: an export from JAX has no random numbers that are fresh after every "
    "load. A mask with a seed can be exported.",
    "operator Sort, Out parameter": "One model with all three samplings: PyTorch's "
    'ONNX exporter lacks the stable sort of `"fixed_count"` and `"partition"`. '
    '`"bernoulli"` can be exported, as in the vote tested here.',
    "Argument passed to at()": "PyTorch 2.13's ONNX exporter fails on this layer with "
    "an `IndexError`.",
    "Keras leaves the compiler out": "XLA cannot compile a forced native kernel: the "
    'model runs without XLA, and Keras warns. `"auto"` uses `keras.ops` there.',
    "grad_weight must be contiguous": "PyTorch 2.13 has no gradient for the weights of "
    "a float64 convolution with padding on a CPU, with a mask or without.",
}


def run(backend: str, only: Iterable[str] = ()) -> dict[str, dict]:
    """The cells of a backend, from a separate process."""
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
    """Yes or no, with the number of the note on it."""
    word = "yes" if cell["works"] else "**no**"
    if not cell["said"]:
        return word
    note = reason(backend, cell["said"])
    if note not in notes:
        notes.append(note)
    return f"{word} ({notes.index(note) + 1})"


def reason(backend: str, said: str) -> str:
    """The note for a message; a message without a note is an error."""
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
