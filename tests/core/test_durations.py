"""Durations, by a clock that nobody sets."""

import ast
from pathlib import Path

import pytest

import keras_maskdef as kmd
from keras_maskdef.core import durations
from keras_maskdef.core.durations import fastest

FOLDER = Path(kmd.__file__).parents[1]
PARTS = ("keras_maskdef", "kernels", "benchmarks", "examples", "tests", "maskdef.py")
# Those that are set: by people, by NTP, on the way to another time zone.
SET = {"time", "time_ns", "clock_gettime", "clock_gettime_ns"}


def sources():
    for part in PARTS:
        path = FOLDER / part
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def clocks_that_are_set(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (alias.name for alias in node.names if alias.name in SET)
        if isinstance(node, ast.Attribute) and node.attr in SET:
            module = node.value
            if isinstance(module, ast.Name) and module.id == "time":
                yield node.attr


@pytest.mark.parametrize("text", ["import time\ntime.time()", "from time import time"])
def test_a_clock_that_is_set_is_seen(text):
    assert list(clocks_that_are_set(ast.parse(text))) == ["time"]


def test_no_duration_is_by_a_clock_that_is_set():
    if not (FOLDER / "benchmarks").is_dir():
        pytest.skip("sources only")
    paths = list(sources())
    assert len(paths) > 100
    found = {str(p): list(clocks_that_are_set(ast.parse(p.read_text()))) for p in paths}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "readings, seconds",
    [
        ([5, 8, 8, 10, 10, 13], 2),
        ([5, 8, 8, 2, 2, 4], 2),  # set back within the second call
        ([5, 5, 5, 5, 5, 5], float("inf")),
    ],
)
def test_the_fastest_of_several_calls(monkeypatch, readings, seconds):
    monkeypatch.setattr(durations.time, "perf_counter", iter(readings).__next__)
    calls = []
    assert fastest(lambda: calls.append(1), 3) == seconds
    assert len(calls) == 3
