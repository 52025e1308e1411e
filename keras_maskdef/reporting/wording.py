"""How figures and attackers are put into words, the same in pictures and pages."""

from collections.abc import Mapping, Sequence
from typing import Any

# What an attacker knows: in two words, and in a sentence.
_ATTACKERS = {
    "none": ("Clean images", "Nobody attacks."),
    "noise": (
        "Controls",
        "Nobody attacks: random noise of the same size, which an attack has to beat.",
    ),
    "surrogate": (
        "Black box",
        "The attacker knows neither classifier nor defence, and attacks a network that "
        "was trained apart.",
    ),
    "classifier": (
        "Knows the classifier",
        "The attacker knows the bare classifier and nothing of the defence, as in the "
        "MAD paper.",
    ),
    "gray_box": (
        "Grey box",
        "The attacker knows the classifier and its learned mask, but no filters and no "
        "random masks, as in the SFM-Defense paper.",
    ),
    "white_box": (
        "White box",
        "The attacker knows all of the defence, and draws its random masks once in "
        "each step.",
    ),
    "adaptive": (
        "Adaptive",
        "The attacker knows all of the defence, and averages over fresh random masks "
        "in each step.",
    ),
    "union": (
        "The worst of all",
        "An image counts only if it withstands every attack: the figure to quote.",
    ),
}


def attacker(row: Mapping[str, Any]) -> str:
    """A name for those who know as much as the attacker of a row."""
    threat = row["threat_model"]
    return _ATTACKERS.get(threat, (threat.replace("_", " "), ""))[0]


def knowledge(row: Mapping[str, Any]) -> str:
    """What they know, as a sentence."""
    return _ATTACKERS.get(row["threat_model"], ("", ""))[1]


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def interval(bounds: Sequence[float]) -> str:
    """Whole percents, unless these would make an interval look like a point.

    >>> interval((0.42, 0.48)), interval((0.0, 0.004))
    ('42–48', '0.0–0.4')
    """
    low, high = (100 * bound for bound in bounds)
    digits = 0 if round(low) != round(high) else 1
    return f"{low:.{digits}f}–{high:.{digits}f}"


def points(difference: float) -> str:
    """A difference in percentage points, with its sign.

    >>> points(0.123), points(-0.02), points(0.0)
    ('+12.3', '−2.0', '0.0')
    """
    shown = round(100 * difference, 1)
    return f"{shown:+.1f}".replace("-", "−") if shown else "0.0"


def norm(row: Mapping[str, Any]) -> str:
    """The norm as it is printed, empty without one."""
    names = {"linf": "L∞", "l2": "L2", "l1": "L1"}
    return names.get(row["norm"], row["norm"]) if row["norm"] else ""


def size(epsilon: float) -> str:
    """A size as it is printed: in 255ths where no short decimal says it.

    >>> size(0.1), size(8 / 255), size(0.0314), size(0.125)
    ('0.1', '8/255', '8/255', '0.125')
    """
    levels = round(255 * epsilon)
    if abs(epsilon - round(epsilon, 2)) < 1e-6 or abs(255 * epsilon - levels) > 0.05:
        return f"{epsilon:.4g}"
    return f"{levels}/255"


def title(row: Mapping[str, Any]) -> str:
    """An attack with its norm and size."""
    parts = [row["attack"], norm(row)]
    if row["epsilon"] is not None:
        parts.append(size(row["epsilon"]))
    if row.get("samples"):
        parts.append(f"({masks(row)})")
    return " ".join(part for part in parts if part)


def masks(row: Mapping[str, Any]) -> str:
    """How many masks an adaptive attacker averages over in each step."""
    return f"{row['samples']} mask{'s' if row['samples'] > 1 else ''}"


def setting(value: Any) -> str:
    """A setting of a run as text.

    >>> setting([1, 20]), setting({"numpy": "2.1"}), setting(60_000), setting(None)
    ('1, 20', 'numpy 2.1', '60,000', 'none')
    """
    if isinstance(value, dict):
        return ", ".join(f"{key} {setting(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(setting, value))
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return "none" if value is None else str(value)
