"""An evaluation run as one page that needs nothing beside it."""

import base64
from importlib import resources
from pathlib import Path
from typing import Any

from keras_maskdef.core.atomic_files import write
from keras_maskdef.core.extras import require
from keras_maskdef.evaluation.saved_run import ADAPTIVE, NOISE, UNION, Run, read_run
from keras_maskdef.reporting import wording as wording
from keras_maskdef.reporting.figures import Picture
from keras_maskdef.reporting.run_pictures import draw_pictures

PAGE = "report.html"
_SECTIONS = {
    "epsilons": (
        "Accuracy against the size of the attack",
        "Clean images are at size 0. Shades are 95 % intervals.",
    ),
    "votes": (
        "Accuracy and speed against the number of votes",
        "Each vote is one more pass through the classifier.",
    ),
    "rows": (
        "All attacks at a glance",
        "The rows of the tables, with their 95 % intervals.",
    ),
    "gallery": (
        "Images",
        "The true class is on the left; ✓ marks a right verdict and ✗ a wrong one.",
    ),
}


def write_report(run: Path, output: Path | None = None) -> list[Path]:
    """Writes the report of an evaluation run: `report.html` and its pictures.

    The page holds its pictures and its style; it loads nothing and runs no script. In
    a terminal this is `maskdef report RUN`. What is written takes the place of symbolic
    links of the same names, and does not follow them.

    Args:
        run: The folder of an evaluation run, with its `results.json` and, where they
            were written, `gallery.npz` and `speed.json`.
        output: Folder for `report.html` and `pictures/`, `run` itself by default.

    Returns:
        What was written, the page first.

    Raises:
        FileNotFoundError: If `run` has no `results.json`.
        OSError: For a file that is damaged or is none that a run writes; it names the
            file and the place.
        ValueError: For another schema, or a run in which a defence has no adaptive or
            no union row: no report is written without.
        ImportError: If jinja2 or matplotlib is not installed.

    Example:
        >>> write_report(Path("no/run"))
        Traceback (most recent call last):
        FileNotFoundError: `run` must be the folder of ... Received: run=no/run
    """
    loaded = read_run(Path(run))
    template = _template()
    folder = Path(run if output is None else output)
    pictures = draw_pictures(loaded, folder / "pictures")
    page = folder / PAGE
    text = template.render(_context(loaded, pictures))
    write(page, lambda file: file.write(text.encode()))
    return [page, *(picture.path for picture in pictures)]


def _template() -> Any:
    jinja2 = require("jinja2", "report")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    package = resources.files("keras_maskdef.reporting")
    text = package.joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


def _context(run: Run, pictures: list[Picture]) -> dict[str, Any]:
    settings, measured = run.results["settings"], _measured(run)
    return {
        "images": run.images,
        "measured": measured,
        "warnings": _by_name(run.results["warnings"]),
        "checked": settings.get("checks", measured["controls"]),
        "headlines": [_headline(run, name) for name in run.shown],
        "tables": [_table(run, name) for name in run.shown],
        "sections": _sections(pictures),
        "settings": {key: wording.setting(value) for key, value in settings.items()},
        "notes": run.results["notes"],
        "judgements": settings.get("judgements", 1),
        "paper": any(row.get("paper") for row in run.rows),
    }


def _measured(run: Run) -> dict[str, Any]:
    """The numbers and names of the sentence that says what was measured."""
    attacks = [row for row in run.rows if row["epsilon"] is not None]
    names = dict.fromkeys(row["attack"] for row in attacks)
    return {
        "names": list(names),
        "rows": len(attacks),
        "controls": any(row["threat_model"] == NOISE for row in attacks),
        "adaptive": _adaptive(run),
    }


def _adaptive(run: Run) -> list[str]:
    """The adaptive attacks, each once with all its numbers of masks."""
    masks: dict[str, list[str]] = {}
    for row in run.rows:
        if row["threat_model"] == ADAPTIVE:
            found = masks.setdefault(wording.title({**row, "samples": None}), [])
            found += [str(row["samples"])] if row.get("samples") else []
    return [
        f"{title} (masks a step: {', '.join(numbers)})" if numbers else title
        for title, numbers in masks.items()
    ]


def _by_name(warnings: list[dict[str, str]]) -> dict[str, list[str]]:
    """Each check that failed, with all that it found."""
    found: dict[str, list[str]] = {}
    for warning in warnings:
        found.setdefault(warning["name"], []).append(warning["message"])
    return found


def _headline(run: Run, name: str) -> dict[str, Any]:
    bare, clean, worst = run.bare(name), run.rows[0], run.rows[-1]
    own, other = run.score(worst, name), run.score(worst, bare or "")
    own_clean, other_clean = run.score(clean, name), run.score(clean, bare or "")
    return {
        "name": name,
        "bare": bare,
        "worst": _figure(own),
        "images": own["images"],
        "bare_worst": _figure(other),
        "change": _change(own, other),
        "clean": _figure(own_clean),
        "bare_clean": _figure(other_clean),
        "clean_change": _change(own_clean, other_clean),
    }


def _table(run: Run, name: str) -> dict[str, Any]:
    groups = [
        {
            "attacker": wording.attacker(group[0]),
            "knowledge": wording.knowledge(group[0]),
            "quoted": group[0]["threat_model"] in (ADAPTIVE, UNION),
            "rows": [_row(run, row, name) for row in group],
        }
        for group in run.groups
    ]
    return {"name": name, "bare": run.bare(name), "groups": groups}


def _row(run: Run, row: dict[str, Any], name: str) -> dict[str, Any]:
    own, other = run.score(row, name), run.score(row, run.bare(name) or "")
    paper = row.get("paper") or {}
    epsilon = row["epsilon"]
    return {
        "attack": row["attack"],
        "norm": wording.norm(row),
        "epsilon": None if epsilon is None else wording.size(epsilon),
        "masks": wording.masks(row) if row.get("samples") else "",
        "library": row.get("library") or "",
        "bare": _figure(other),
        "own": _figure(own),
        "change": _change(own, other),
        "worst": _figure(own, "worst", "worst_"),
        "conditional": _figure(own, "conditional", "conditional_"),
        "paper": [_share(paper.get(key)) for key in ("attack", "defence")],
    }


def _figure(
    score: dict[str, Any], key: str = "accuracy", prefix: str = ""
) -> dict[str, Any] | None:
    """An accuracy in percent with its interval, none where there is none."""
    if score.get(key) is None:
        return None
    bounds = score[f"{prefix}interval_95"]
    return {
        "percent": wording.percent(score[key]),
        "interval": wording.interval(bounds),
        "images": score.get(f"{prefix}images", score["images"]),
        "left": f"{100 * bounds[0]:.2f}",
        "width": f"{100 * (bounds[1] - bounds[0]):.2f}",
        "place": f"{100 * score[key]:.2f}",
    }


def _change(own: dict[str, Any], other: dict[str, Any]) -> dict[str, Any] | None:
    """What a defence gains or loses over its bare classifier, in points."""
    if not own or not other:
        return None
    difference = own["accuracy"] - other["accuracy"]
    points = wording.points(difference)
    (low, high), (below, above) = own["interval_95"], other["interval_95"]
    kind = {"+": "gain", "−": "loss"}.get(points[0], "none")
    return {"points": points, "kind": kind, "unsure": low <= above and below <= high}


def _share(value: float | None) -> str | None:
    return None if value is None else wording.percent(value)


def _sections(pictures: list[Picture]) -> list[dict[str, Any]]:
    return [
        {"id": section, "title": title, "intro": intro, "pictures": found}
        for section, (title, intro) in _SECTIONS.items()
        if (found := [_embedded(p) for p in pictures if p.section == section])
    ]


def _embedded(picture: Picture) -> dict[str, str]:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return {"data": data, "alt": picture.alt, "caption": picture.caption}
