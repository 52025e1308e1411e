"""Folders of runs as disks and strangers change them, drawn by a seed.

`check_drawn` copies the folders of a run, changes one file, and reads them: as `maskdef
report`, `merge` or `evaluate --resume`. What comes out is an error that says something,
or a result that can be right.
"""

import json
import math
import os
import random
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import toy

from keras_maskdef.core.run_folder import RESULTS
from keras_maskdef.evaluation import AttackSetting, evaluate
from keras_maskdef.evaluation.merge import merge
from keras_maskdef.reporting.html_report import write_report
from keras_maskdef.results.saved_run import read_report

WHOLE, PARTS = "whole", ("first", "second")
COMMANDS = ("report", "merge", "resume")
DEEP = 100_000
VALUES = (
    math.nan,
    math.inf,
    -math.inf,
    10**9,
    10**400,
    -1,
    0,
    0.5,
    1e308,
    True,
    None,
    "",
    "../../elsewhere",
    "\x00\ud800",
    "x" * 10_000,
    [],
    {},
    [[[[1]]]],
    [1] * 1000,
    {"a": {"b": None}},
)


def make(folder: Path) -> None:
    """The runs that are changed: a whole one, and the same in two parts."""
    evaluate_few(folder / WHOLE)
    for number, part in enumerate(PARTS):
        evaluate_few(folder / part, (number + 1, len(PARTS)))


def evaluate_few(folder: Path, shard: tuple[int, int] = (1, 1)) -> None:
    """Few images, since pictures of them take most of the time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluate(
            toy.vote(),
            toy.data(6),
            [AttackSetting("fgsm", "linf", 0.1)],
            adaptive=[AttackSetting("pgd", "linf", 0.2, options={"steps": 2})],
            eot_samples=(1, 2),
            repeats=2,
            batch_size=2,
            folder=folder,
            resume=True,
            shard=shard,
        )


def check_drawn(runs: Path, seed: int) -> str:
    """Changes the runs in one way, reads them, and says what came of it.

    Raises:
        AssertionError: If it was no clear error, and no result.
    """
    draw = random.Random(seed)
    command = draw.choices(COMMANDS, (5, 4, 1))[0]
    with tempfile.TemporaryDirectory(prefix="fuzz-runs-") as folder:
        copy = Path(folder) / "runs"
        shutil.copytree(runs, copy)
        what = f"seed {seed}, {command}: {change(copy, command, draw)}"
        outside = _files(copy)
        try:
            READ[command](copy)
        except (OSError, ValueError) as error:
            assert type(error).__module__ == "builtins", f"{what}: {error!r}"
            assert len(str(error)) > 30, f"{what}: {error!r}"
            assert len(str(error)) < 10_000, f"{what}: {str(error)[:1000]}"
            said = f"{type(error).__name__}: {error}"
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        else:
            _check_result(copy, runs, command, what)
            said = "a result"
        assert _files(copy) == outside, f"{what}: wrote elsewhere"
    return f"{what}: {said}"


def _report(copy: Path) -> None:
    write_report(copy / WHOLE)


def _merge(copy: Path) -> None:
    merge([copy / part for part in PARTS], copy / "merged")


def _resume(copy: Path) -> None:
    evaluate_few(copy / WHOLE)


READ = {"report": _report, "merge": _merge, "resume": _resume}


def _files(copy: Path) -> set[str]:
    """Beside the runs, where nothing may be written."""
    return {path.name for path in copy.parent.iterdir()}


def _check_result(copy: Path, runs: Path, command: str, what: str) -> None:
    folder = copy / ("merged" if command == "merge" else WHOLE)
    found = read_report(folder / RESULTS)
    scores = [s for row in found.rows for s in row.scores.values() if s]
    assert all(0 <= score.accuracy <= 1 for score in scores), what
    if BYTES in what:
        assert found == read_report(runs / WHOLE / RESULTS), what


BYTES = "bytes of"


def change(copy: Path, command: str, draw: random.Random) -> str:
    """Changes one file of those that a command reads, and says how."""
    folder = copy / (draw.choice(PARTS) if command == "merge" else WHOLE)
    names = ["config.json", "labels.npz", "gallery.npz", "speed.json", "outcomes"]
    if command == "report":
        names = ["results.json"] * 3 + ["gallery.npz"] * 2 + ["speed.json"]
    path = folder / draw.choice(names)
    if path.name == "outcomes":
        path = draw.choice(sorted(path.iterdir()))
    if not path.exists():  # only the first part has a gallery
        path = folder / "labels.npz"
    kinds = [_flip, _truncate, _replace_file]
    kinds += [_change_value] * 5 if path.suffix == ".json" else _ARRAYS
    return f"{draw.choice(kinds)(path, draw)} {path.name}"


def _flip(path: Path, draw: random.Random) -> str:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 3, 30))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return BYTES if path.suffix == ".npz" else "flipped"


def _truncate(path: Path, draw: random.Random) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])
    return BYTES


def _replace_file(path: Path, draw: random.Random) -> str:
    path.unlink()
    kind = draw.choice(("nothing", "folder", "pipe", "link", "loop", "text", "deep"))
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "text":
        path.write_text("<html>not found</html>")
    elif kind == "deep":
        path.write_text(draw.choice(("[" * DEEP + "]" * DEEP, '{"a":' * DEEP)))
    return f"{kind} for"


def _change_value(path: Path, draw: random.Random) -> str:
    """One value of plain data: gone, another, or under another name."""
    content = json.loads(path.read_text())
    places = list(_places(content))
    if not places:
        return "nothing of"
    # Values of long lists are alike, and there are many of them.
    depth = draw.choice(sorted({depth for depth, *_ in places}))
    _, holder, key = draw.choice([place for place in places if place[0] == depth])
    kind = draw.choice(("gone", "other", "other", "other", "deep", "renamed"))
    if kind == "gone":
        del holder[key]
    elif kind == "renamed" and isinstance(holder, dict):
        holder["another"] = holder.pop(key)
    else:
        holder[key] = "DEEP" if kind == "deep" else draw.choice(VALUES)
    text = json.dumps(content).replace('"DEEP"', "[" * 500 + "]" * 500)
    path.write_text(text.replace("Infinity", draw.choice(("Infinity", "1e999"))))
    return f"{key!r} {kind} in"


def _places(content, depth=0):
    """All values: how deep they are, what holds them, and where."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield depth, content, key
        if isinstance(value, dict | list):
            yield from _places(value, depth + 1)


def _change_array(path: Path, draw: random.Random) -> str:
    """One array: gone, or with other values, another dtype or another shape."""
    with np.load(path) as stored:
        arrays = dict(stored)
    name = draw.choice(sorted(arrays))
    array = arrays.pop(name)
    kind = draw.choice(("gone", "values", "dtype", "shape", "empty", "renamed"))
    if kind == "values" and array.dtype.kind in "fiu":
        array = array.copy()
        far = (math.nan, math.inf, 1e30) if array.dtype.kind == "f" else (-9, 30_000)
        array.flat[draw.randrange(array.size)] = draw.choice(far)
    elif kind == "dtype":
        other = draw.choice(("U9", "c16", "f2", "i1", "?", "M8[s]"))
        array = np.array(0 if array.dtype.kind == "U" else array).astype(other)
    elif kind == "shape":
        array = np.repeat(array[None], draw.choice((1, 1000)), axis=0)
    elif kind == "empty":
        array = array.ravel()[:0]
    if kind != "gone":
        arrays["another" if kind == "renamed" else name] = array
    np.savez(path, **arrays)
    return f"{name!r} {kind} in"


def _forge(path: Path, draw: random.Random) -> str:
    """An array whose header, or whose entry in the archive, is not true."""
    with np.load(path) as stored:
        name = draw.choice(stored.files)
    kind, header = draw.choice(_HEADERS)
    packing = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    _with_member(path, f"{name}.npy", _npy(header) + bytes(800), packing)
    return f"{name!r} {kind} in"


def claim_much(path: Path, name: str) -> None:
    """An array in whose place there is a header, of 8 * 10^15 bytes."""
    content = _npy(dict(reversed(_HEADERS))["huge"]) + bytes(800)
    _with_member(path, f"{name}.npy", content, zipfile.ZIP_STORED)


def _bomb(path: Path, draw: random.Random) -> str:
    """An array that is a thousand times larger than its file."""
    with np.load(path) as stored:
        name = draw.choice(stored.files)
    rows = 1 << draw.choice((26, 27, 29))
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows},), }}"
    content = _npy(header) + bytes(rows)
    _with_member(path, f"{name}.npy", content, zipfile.ZIP_DEFLATED)
    return f"{name!r} {rows >> 20} MiB in"


def _encrypt(path: Path, draw: random.Random) -> str:
    content = path.read_bytes()
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + place
        content = content[:at] + b"\x01" + content[at + 1 :]
    path.write_bytes(content)
    return "encrypted"


_ARRAYS = [_change_array, _change_array, _forge, _forge, _bomb, _encrypt]
_HEADERS = [
    (kind, f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")
    for kind, descr, shape in (
        ("huge", "'<f8'", "(1000000000000000,)"),
        ("huge", "'<i8'", "(1000000000, 1000000000, 1000000000)"),
        ("negative", "'<f8'", "(-1, -100)"),
        ("of objects", "'|O'", "(100,)"),
        ("of nothing", "'<U0'", "(1000000000000000,)"),
        ("of records", "[('a', '<f8'), ('b', '<f8')]", "(50,)"),
        ("of many axes", "'<f8'", f"({'1, ' * 99})"),
        ("no shape", "'<f8'", "'x'"),
        ("no dtype", "'?!'", "(100,)"),
    )
]
_HEADERS += [("no header", ""), ("deep", "(" * 5000), ("code", "__import__('os')")]


def _npy(header: str) -> bytes:
    text = f"{header:<117}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _with_member(path: Path, name: str, content: bytes, packing: int) -> None:
    """An archive with one member in the place of that of its name."""
    with zipfile.ZipFile(path) as archive:
        kept = {m: archive.read(m) for m in archive.namelist() if m != name}
    with zipfile.ZipFile(path, "w") as archive:
        for member, whole in kept.items():
            archive.writestr(member, whole)
        archive.writestr(name, content, packing, 1 if packing == 8 else None)
