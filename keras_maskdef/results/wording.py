"""How figures, attacks and attackers are put into words, the same everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

# What an attacker knows: in two words, and in a sentence.
_ATTACKERS = {
    "none": ("Clean images", "No attack."),
    "noise": (
        "Sanity check",
        "Random noise with the same perturbation budget, which an attack has to beat.",
    ),
    "surrogate": (
        "Black box",
        "The attacker knows neither base model nor defence, and transfers attacks from "
        "an independently trained network.",
    ),
    "classifier": (
        "Base model known",
        "The attacker knows the base model and nothing of the defence, as in the MAD "
        "paper.",
    ),
    "gray_box": (
        "Gray box",
        "The attacker knows the base model and its learned mask, but no filters and no "
        "random masks, as in the SFM-Defense paper.",
    ),
    "white_box": (
        "White box",
        "The attacker knows all of the defence, and draws its random masks once in "
        "each step.",
    ),
    "adaptive": (
        "Adaptive",
        "The attacker knows all of the defence, and averages each step over fresh "
        "random masks (EOT).",
    ),
    "union": (
        "Worst case",
        "An image counts only if it withstands every attack: the figure to quote.",
    ),
}
_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
_UNTOLD = ("none", "classifier", "adaptive", "union")
_BASE = "bare classifier"  # what runs of before call a base model


def attacker(threat_model: str) -> str:
    """A name for those who know as much."""
    return _ATTACKERS.get(threat_model, (threat_model.replace("_", " "), ""))[0]


def knowledge(threat_model: str) -> str:
    """What they know, as a sentence."""
    return _ATTACKERS.get(threat_model, ("", ""))[1]


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def interval(bounds: Sequence[float]) -> str:
    """Whole percents, unless these would make an interval look like a point.

    >>> interval((0.42, 0.48)), interval((0.0, 0.004))
    ('42-48', '0.0-0.4')
    """
    low, high = (100 * bound for bound in bounds)
    digits = 0 if round(low) != round(high) else 1
    return f"{low:.{digits}f}-{high:.{digits}f}"


def percent_with_interval(share: float, bounds: Sequence[float]) -> str:
    """
    >>> percent_with_interval(0.45, (0.42, 0.48))
    '45.0 (42-48)'
    """
    return f"{percent(share)} ({interval(bounds)})"


def points(difference: float) -> str:
    """A difference in percentage points, with its sign.

    >>> points(0.123), points(-0.02), points(0.0)
    ('+12.3', '−2.0', '0.0')
    """
    shown = round(100 * difference, 1)
    return f"{shown:+.1f}".replace("-", "−") if shown else "0.0"


def norm(name: str | None) -> str:
    """The norm as it is printed, empty without one."""
    return _NORMS.get(name, name) if name else ""


def size(epsilon: float) -> str:
    """An epsilon as it is printed: in 255ths where no short decimal says it.

    >>> size(0.1), size(8 / 255), size(0.0314), size(0.125), size(8.0)
    ('0.1', '8/255', '8/255', '0.125', '8')
    """
    levels = round(255 * epsilon)
    if abs(epsilon - round(epsilon, 2)) < 1e-6 or abs(255 * epsilon - levels) > 0.05:
        return f"{epsilon:.4g}"
    return f"{levels}/255"


def eot_samples(count: int) -> str:
    """How many masks an adaptive attacker averages over in each step.

    >>> eot_samples(1), eot_samples(20)
    ('1 EOT sample', '20 EOT samples')
    """
    return f"{count} EOT sample{'s' if count > 1 else ''}"


def budget(row: Any) -> str:
    """An attack with its norm and epsilon, whoever runs it: "pgd Linf 8/255"."""
    parts = [row.attack, norm(row.norm)]
    if row.epsilon is not None:
        parts.append(size(row.epsilon))
    return " ".join(part for part in parts if part)


def title(row: Any) -> str:
    """A row without its threat model: "adaptive pgd Linf 0.1, 20 EOT samples"."""
    if row.threat_model == "union":
        return "worst case"
    adaptive = row.threat_model == "adaptive" and row.attack != "adaptive"
    samples = f", {eot_samples(row.samples)}" if row.samples else ""
    return f"{'adaptive ' if adaptive else ''}{budget(row)}{samples}"


def full_title(row: Any) -> str:
    """A row, with what its attacker knows where that is not the base model."""
    if row.threat_model in _UNTOLD or row.attack == row.threat_model:
        return title(row)
    return f"{title(row)} ({row.threat_model.replace('_', ' ')})"


def heading(name: str, columns: Mapping[str, Mapping[str, Any]]) -> str:
    """What stands above a column; a base model that was made one says of what.

    Args:
        name: Of the column.
        columns: By name, with its base model as `"bare"`.
    """
    if not name.startswith(_BASE) or columns.get(name, {}).get("bare") != name:
        return name
    owners = [each for each, about in columns.items() if about["bare"] == name != each]
    if len(owners) == len(columns) - 1:
        return "base model"
    return f"base model of {', '.join(owners)}"


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
