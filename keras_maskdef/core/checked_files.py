"""Files of runs, read as if a stranger had written them.

A folder of a run may come from anywhere, and disks forget. What is read here is of the
size and the form that a run writes, or it is an error that names file and place.
"""

import json
import math
import re
import sys
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

Arrays = dict[str, np.ndarray]
Read = TypeVar("Read")
# A thousand times what an evaluation writes. Empty lists take 20 times as much in
# memory as in the file.
MOST_JSON = 1 << 25
# Of all arrays of a file, once they are unpacked; who writes them keeps to it.
MOST_ARRAYS = 1 << 28
_DEEPEST = 40
_LONGEST_TEXT = 1000
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_RESTORE = "Restore it from a copy of the run"
AGAIN = (
    "Delete it and resume: this piece of work is then done again, and all others are "
    "kept"
)


@dataclass(frozen=True)
class Form:
    """What an array has to look like.

    Args:
        kinds: Kinds of dtypes, such as `"iu"`, or `"U"` for short texts.
        shape: Its shape; `None` for any length of at least 1, and `...` at the end for
            any further axes.
        low: No value is below, and none is NaN.
        high: No value is above.
        optional: Whether it may be left out.
    """

    kinds: str
    shape: tuple[Any, ...]
    low: float = -math.inf
    high: float = math.inf
    optional: bool = False

    def refusal(self, array: np.ndarray) -> str | None:
        """What is wrong with an array, if anything is."""
        if array.dtype.kind not in self.kinds:
            return f"is of dtype {array.dtype}"
        if not self._fits(array.shape):
            return f"is of shape {array.shape}"
        if array.dtype.kind == "U" and not _is_short_text(array):
            return f"is no text of up to {_LONGEST_TEXT} characters"
        # Written so that NaN fails.
        bounded = math.isfinite(self.low) or math.isfinite(self.high)
        if bounded and not (array.min() >= self.low and array.max() <= self.high):
            return f"has values outside of {self.low:g} to {self.high:g}"
        return None

    def _fits(self, shape: tuple[int, ...]) -> bool:
        wanted = self.shape
        if wanted and wanted[-1] is ...:
            wanted = wanted[:-1]
            shape, rest = shape[: len(wanted)], shape[len(wanted) :]
            if 0 in rest:
                return False
        return len(shape) == len(wanted) and all(
            length >= 1 if want is None else length == want
            for length, want in zip(shape, wanted, strict=True)
        )


def _is_short_text(array: np.ndarray) -> bool:
    """NumPy reads any 32 bits as a character, and fails when the text is used."""
    codes = np.frombuffer(array.tobytes(), f"{array.dtype.str[0]}u4")
    half = (codes >= 0xD800) & (codes <= 0xDFFF)  # of a pair
    return len(codes) <= _LONGEST_TEXT and not (half | (codes > sys.maxunicode)).any()


def read_json(path: Path, schema: str | None = None, most: int = MOST_JSON) -> Any:
    """Plain data from a file of a run.

    Args:
        path: The file.
        schema: Name of the JSON schema in `schemas` that it has to keep to.
        most: Integer, bytes that are read at most.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is damaged, or is nothing that a run writes.
    """
    content = _read(path, lambda file: _plain(file, most), _RESTORE)
    if schema is not None:
        wrong = _wrong(content, schema)
        if wrong is not None:
            raise damaged(path, wrong, _RESTORE)
    return content


def read_arrays(path: Path, without: Collection[str] = ()) -> Arrays:
    """The arrays of a file of a run.

    Args:
        path: The file.
        without: Names of arrays that are not needed.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is damaged, or is nothing that a run writes.
    """
    return _read(path, lambda file: _arrays(file, without), AGAIN)


def check_arrays(path: Path, arrays: Arrays, forms: Mapping[str, Form]) -> Arrays:
    """Those arrays of a file that have a form.

    Raises:
        OSError: If one is missing, or has not its form.
    """
    for name, form in forms.items():
        if name in arrays:
            refusal = form.refusal(arrays[name])
            if refusal is not None:
                raise damaged(path, f"{name!r} {refusal}", AGAIN)
        elif not form.optional:
            raise damaged(path, f"{name!r} is missing", AGAIN)
    return {name: array for name, array in arrays.items() if name in forms}


def damaged(path: Path, what: str, remedy: str = _RESTORE) -> OSError:
    """The error for a file that no run has left like this."""
    return OSError(f"{path} is damaged ({_short(what)}). {remedy}")


def _read(path: Path, read: Callable[[BinaryIO], Read], remedy: str) -> Read:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. {_RESTORE}")
    if not path.is_file():  # such as a pipe, of which nobody would see the end
        raise damaged(path, "it is no file", remedy)
    with open(path, "rb") as file:
        try:
            return read(file)
        except Exception as error:  # decoders raise anything for what strangers wrote
            raise damaged(path, _said(error), remedy) from error


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error) or type(error).__name__


def _plain(file: BinaryIO, most: int) -> Any:
    text = file.read(most + 1)
    if len(text) > most:
        raise ValueError(f"it is larger than {most >> 20} MiB")
    content = json.loads(text, parse_float=_finite, parse_constant=_no_number)
    if _is_deeper(content, _DEEPEST):
        raise RecursionError
    if re.search(rb"\\u[dD][89a-fA-F]", text):  # half of a pair: no text
        json.dumps(content, ensure_ascii=False).encode()
    return content


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{_short(text)} is no finite number")


def _is_deeper(content: Any, levels: int) -> bool:
    inner = content.values() if isinstance(content, dict) else content
    return isinstance(content, dict | list) and (
        levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)
    )


def _wrong(content: Any, schema: str) -> str | None:
    """The first place that is not as a schema has it."""
    error = next(_validator(schema).iter_errors(content), None)
    return error and f"{error.json_path}: {_short(error.message)}"


def _short(text: str) -> str:
    return text if len(text) <= 240 else f"{text[:120]} ... {text[-100:]}"


@cache
def _validator(schema: str) -> Any:
    import jsonschema  # a quarter of a second

    base = jsonschema.Draft202012Validator
    types = base.TYPE_CHECKER.redefine("integer", _is_integer)
    strict = jsonschema.validators.extend(base, {"items": _items}, type_checker=types)
    file = resources.files("keras_maskdef.core").joinpath(f"schemas/{schema}.json")
    return strict(json.loads(file.read_text(encoding="utf-8")))


def _is_integer(checker: Any, value: Any) -> bool:
    """JSON's 4.0 is an integer as well, and ends as a float where one is needed."""
    return isinstance(value, int) and not isinstance(value, bool)


def _items(validator: Any, items: Any, value: Any, schema: Any) -> Iterator[Any]:
    """As jsonschema, and 20 times as fast for thousands of names or numbers."""
    if not isinstance(value, list):
        return
    kind = items["type"] if {*items} <= {"type", "minimum", "maximum"} else None
    low, high = items.get("minimum"), items.get("maximum")
    if isinstance(kind, str) and all(
        validator.is_type(each, kind)
        and (low is None or each >= low)
        and (high is None or each <= high)
        for each in value
    ):
        return
    for place, each in enumerate(value):
        yield from validator.descend(each, items, path=place)


def _arrays(file: BinaryIO, without: Collection[str]) -> Arrays:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        wanted = [m for m in members if m.filename.removesuffix(".npy") not in without]
        total = sum(member.file_size for member in wanted)
        if total > MOST_ARRAYS:
            raise ValueError(
                f"its arrays take {total:,} bytes, and at most {MOST_ARRAYS:,} are read"
            )
        if len({member.filename for member in members}) < len(members):
            raise ValueError("two of its arrays have the same name")
        if any(m.compress_type not in _PACKED or m.flag_bits & 1 for m in wanted):
            raise ValueError("its arrays are packed as NumPy packs none")
        return {
            member.filename.removesuffix(".npy"): _array(archive, member)
            for member in wanted
        }


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, of which nothing is allocated before there is as much in the file."""
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):  # others are for long headers
            raise ValueError(f"{member.filename} is not of version 1.0 of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        held = member.file_size - file.tell()
        if dtype.kind not in "biufU" or min(shape, default=1) < 0 or not dtype.itemsize:
            raise ValueError(f"{member.filename} is of dtype {dtype} and shape {shape}")
        told = math.prod(shape) * dtype.itemsize
        if told != held:
            raise ValueError(
                f"{member.filename} is said to take {told:,} bytes, and holds {held:,}"
            )
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
