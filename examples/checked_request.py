"""Checks the requests and answers of the example servers.

`serve.py` and `preforked.py` need this file beside them. It needs only NumPy.
"""

import gc
import json
import reprlib
from typing import Any

import numpy as np

# Most images in one request.
MOST = 256
# Most characters of an error message, which may quote the request or the model.
MOST_SAID = 1000
SIGNATURE = "serving_default"


def instances_of(body: bytes) -> list:
    """The `instances` of a body. Its content type is ignored: many clients send none.

    Raises:
        ValueError: If the body is not a prediction request.
    """
    try:
        content = parsed(body)
        wrong = what_is_wrong(content)
    except RecursionError:
        wrong = "it is nested too deeply"
    except ValueError as error:  # not JSON, or not UTF-8
        wrong = str(error)
    if wrong:
        received = body[:80].decode(errors="replace")
        raise ValueError(
            f'The body must be JSON, {{"instances": [...]}}: {wrong}. '
            f"Received: body={received!r}"
        )
    return content["instances"]


def parsed(body: bytes) -> Any:
    """Parses JSON without the garbage collector, because JSON has no cycles.

    32 MiB of lists took 2 s without it and 20 s with it. Parsing holds the GIL, so
    nothing else runs meanwhile, not even a status request.
    """
    gc.disable()
    try:
        return json.loads(body)
    finally:
        gc.enable()


def what_is_wrong(content: Any) -> str:
    if not isinstance(content, dict):
        return "it is not an object"
    if not isinstance(content.get("instances"), list):
        return "`instances` must be a list"
    unknown = next((k for k in content if k not in ("instances", "signature_name")), "")
    if unknown:
        return f"{reprlib.repr(unknown)} is not allowed"
    if content.get("signature_name", SIGNATURE) != SIGNATURE:
        return f"`signature_name` must be {SIGNATURE!r}"
    return ""


def as_numbers(nested: list, dtype: Any, kinds: set[type]) -> np.ndarray:
    """Lists of numbers as an array. NumPy alone would also accept "0.5" and true.

    Args:
        nested: Lists from JSON.
        dtype: NumPy's dtype of the model's input.
        kinds: Types of Python that such numbers may have.

    Raises:
        ValueError: For other types, lists of unequal lengths, or too large numbers.
    """
    found = np.array(nested, object)
    there = set(map(type, found.ravel()))
    if list in there:
        raise ValueError("nested lists must have equal lengths and be at most 64 deep")
    wrong = sorted(kind.__name__ for kind in there - kinds)
    if wrong:
        raise ValueError(f"they contain a {' and a '.join(wrong)}")
    with np.errstate(over="ignore"):
        try:
            return found.astype(dtype)
        except OverflowError:
            raise ValueError("a number is too large") from None


def check_count(instances: list, most: int = MOST) -> None:
    if not 0 < len(instances) <= most:
        raise ValueError(
            f"`instances` must have 1 to {most} entries. "
            f"Received: len(instances)={len(instances)}"
        )


def check_finite(name: str, array: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = wrong[0].tolist()
        raise ValueError(
            f"`{name}` must be finite. Received: {name}{place}={array[tuple(place)]}"
        )
