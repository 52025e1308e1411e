"""What the example servers take for a request, and give for an answer.

`serve.py` and `preforked.py` need it beside them. It takes NumPy alone.
"""

import gc
import json
import reprlib
from typing import Any

import numpy as np

# Images that one request may have.
MOST = 256
# Characters of an error: requests and models may put anything into theirs.
MOST_SAID = 1000
SIGNATURE = "serving_default"


def instances_of(body: bytes) -> list:
    """What the body asks for, of whatever content type: many clients do not say JSON.

    Raises:
        ValueError: If it is not of the form of a prediction request.
    """
    try:
        content = parsed(body)
        wrong = what_is_wrong(content)
    except RecursionError:
        wrong = "it is nested too deeply"
    except ValueError as error:  # no JSON, or not UTF-8
        wrong = str(error)
    if wrong:
        received = body[:80].decode(errors="replace")
        raise ValueError(
            f'The body must be JSON, {{"instances": [...]}}: {wrong}. '
            f"Received: body={received!r}"
        )
    return content["instances"]


def parsed(body: bytes) -> Any:
    """JSON, which has no cycles: 32 MiB of lists took 2 s so, and 20 s with a search.

    Nothing else runs meanwhile, a status neither.
    """
    gc.disable()
    try:
        return json.loads(body)
    finally:
        gc.enable()


def what_is_wrong(content: Any) -> str:
    if not isinstance(content, dict):
        return "it is no object"
    if not isinstance(content.get("instances"), list):
        return "`instances` must be a list"
    unknown = next((k for k in content if k not in ("instances", "signature_name")), "")
    if unknown:
        return f"there may be no {reprlib.repr(unknown)}"
    if content.get("signature_name", SIGNATURE) != SIGNATURE:
        return f"`signature_name` must be {SIGNATURE!r}"
    return ""


def as_numbers(nested: list, dtype: Any, kinds: set[type]) -> np.ndarray:
    """Lists of numbers as an array. NumPy would take "0.5" and true for some, too.

    Args:
        nested: What JSON has.
        dtype: NumPy's, for the model.
        kinds: Types that JSON has for such numbers.

    Raises:
        ValueError: For anything else.
    """
    found = np.array(nested, object)
    there = set(map(type, found.ravel()))
    if list in there:
        raise ValueError("the lists within must be of one length, and at most 64 deep")
    wrong = sorted(kind.__name__ for kind in there - kinds)
    if wrong:
        raise ValueError(f"there is a {' and a '.join(wrong)} among them")
    with np.errstate(over="ignore"):
        try:
            return found.astype(dtype)
        except OverflowError:
            raise ValueError("one of them is too large") from None


def check_count(instances: list, most: int = MOST) -> None:
    if not 0 < len(instances) <= most:
        raise ValueError(
            f"`instances` must be 1 to {most} of them. "
            f"Received: len(instances)={len(instances)}"
        )


def check_finite(name: str, array: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = wrong[0].tolist()
        raise ValueError(
            f"`{name}` must be finite. Received: {name}{place}={array[tuple(place)]}"
        )
