"""The report of an evaluation run as one self-contained HTML page."""

import base64
from importlib import resources
from pathlib import Path
from typing import Any

from keras_maskdef.core.atomic_files import write
from keras_maskdef.core.extras import require
from keras_maskdef.reporting.figures import Picture
from keras_maskdef.reporting.run_pictures import draw_pictures
from keras_maskdef.results import Report, Row, Score, wording
from keras_maskdef.results.report import ADAPTIVE, NOISE, QUOTED
from keras_maskdef.results.saved_run import read_run

PAGE = "report.html"
_SECTIONS = {
    "epsilons": (
        "Robust accuracy against epsilon",
        "Clean images are at epsilon 0. Shades are 95 % intervals.",
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

    The page contains its pictures and its style; it loads nothing and runs no script.
    The command is `maskdef report RUN`. Written files replace symbolic links of the
    same names and do not follow them.

    Args:
        run: The folder of an evaluation run, with its `results.json` and, if written,
            `gallery.npz` and `speed.json`.
        output: Folder for `report.html` and `pictures/`, `run` itself by default.

    Returns:
        The written files, the page first.

    Raises:
        FileNotFoundError: If `run` has no `results.json`.
        OSError: For a file that is damaged or was not written by a run; the message
            names the file and the place.
        ValueError: For another schema, or a defence without an adaptive or a worst-case
            row: a report is never written without them.
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
    text = template.render(_context(loaded.report, pictures))
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


def _context(report: Report, pictures: list[Picture]) -> dict[str, Any]:
    settings, measured = report.settings, _measured(report)
    return {
        "images": report.images,
        "measured": measured,
        "warnings": _by_name(report),
        "checked": settings.get("checks", measured["checks"]),
        "headlines": [_headline(report, name) for name in report.judged],
        "tables": [_table(report, name) for name in report.judged],
        "sections": _sections(pictures),
        "settings": {key: wording.setting(value) for key, value in settings.items()},
        "notes": report.notes,
        "repeats": settings.get("judgements", 1),
        "paper": any(row.paper for row in report.rows),
    }


def _measured(report: Report) -> dict[str, Any]:
    """Numbers and names for the sentence that describes what was measured."""
    attacks = [row for row in report.rows if row.epsilon is not None]
    names = dict.fromkeys(row.attack for row in attacks)
    return {
        "names": list(names),
        "rows": len(attacks),
        "checks": any(row.threat_model == NOISE for row in attacks),
        "adaptive": _adaptive(report),
    }


def _adaptive(report: Report) -> list[str]:
    """The adaptive attacks, with all their numbers of EOT samples."""
    samples: dict[str, list[str]] = {}
    for row in report.rows:
        if row.threat_model == ADAPTIVE:
            by_attack = samples.setdefault(wording.budget(row), [])
            by_attack += [str(row.samples)] if row.samples else []
    return [
        f"{title} (EOT samples: {', '.join(numbers)})" if numbers else title
        for title, numbers in samples.items()
    ]


def _by_name(report: Report) -> dict[str, list[str]]:
    """The messages of failed sanity checks, by name of the check."""
    messages: dict[str, list[str]] = {}
    for warning in report.warnings:
        messages.setdefault(warning["name"], []).append(report.message(warning))
    return messages


def _headline(report: Report, name: str) -> dict[str, Any]:
    clean, worst = report.rows[0].scores, report.rows[-1].scores
    base = report.base(name)
    score, other = worst[name], worst.get(base or "")
    own_clean, other_clean = clean.get(name), clean.get(base or "")
    return {
        "name": report.heading(name),
        "base": base and report.heading(base),
        "worst": _figure(score),
        "images": score.images if score else 0,
        "base_worst": _figure(other),
        "change": _change(score, other),
        "clean": _figure(own_clean),
        "base_clean": _figure(other_clean),
        "clean_change": _change(own_clean, other_clean),
    }


def _table(report: Report, name: str) -> dict[str, Any]:
    groups = [
        {
            "attacker": wording.attacker(group[0].threat_model),
            "knowledge": wording.knowledge(group[0].threat_model),
            "quoted": group[0].threat_model in QUOTED,
            "rows": [_row(row, name, report.base(name)) for row in group],
        }
        for group in report.groups
    ]
    base = report.base(name)
    return {
        "name": report.heading(name),
        "base": base and report.heading(base),
        "groups": groups,
    }


def _row(row: Row, name: str, base: str | None) -> dict[str, Any]:
    score, other = row.scores.get(name), row.scores.get(base or "")
    paper = row.paper or {}
    return {
        "attack": "worst case" if row.threat_model == "union" else row.attack,
        "norm": wording.norm(row.norm),
        "epsilon": None if row.epsilon is None else wording.size(row.epsilon),
        "samples": wording.eot_samples(row.samples) if row.samples else "",
        "library": row.library or "",
        "base": _figure(other),
        "own": _figure(score),
        "change": _change(score, other),
        "worst": score and _bar(score.worst, score.worst_interval(), score.images),
        "conditional": score
        and _bar(
            score.conditional,
            score.conditional_interval(),
            score.conditional_images,
        ),
        "paper": [_share(paper.get(key)) for key in ("attack", "defence")],
    }


def _figure(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return _bar(score.accuracy, score.interval(), score.images)


def _bar(
    share: float | None, bounds: tuple[float, float] | None, images: int
) -> dict[str, Any] | None:
    """A fraction in percent with its interval; None without either."""
    if share is None or bounds is None:
        return None
    return {
        "percent": wording.percent(share),
        "interval": wording.interval(bounds),
        "images": images,
        "left": f"{100 * bounds[0]:.2f}",
        "width": f"{100 * (bounds[1] - bounds[0]):.2f}",
        "place": f"{100 * share:.2f}",
    }


def _change(own: Score | None, other: Score | None) -> dict[str, Any] | None:
    """Gain or loss of a defence over its base model, in percentage points."""
    if own is None or other is None:
        return None
    points = wording.points(own.accuracy - other.accuracy)
    (low, high), (below, above) = own.interval(), other.interval()
    kind = {"+": "gain", "−": "loss"}.get(points[0], "none")
    return {"points": points, "kind": kind, "unsure": low <= above and below <= high}


def _share(value: float | None) -> str | None:
    return None if value is None else wording.percent(value)


def _sections(pictures: list[Picture]) -> list[dict[str, Any]]:
    return [
        {"id": section, "title": title, "intro": intro, "pictures": shown}
        for section, (title, intro) in _SECTIONS.items()
        if (shown := [_embedded(p) for p in pictures if p.section == section])
    ]


def _embedded(picture: Picture) -> dict[str, str]:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return {"data": data, "alt": picture.alt, "caption": picture.caption}
