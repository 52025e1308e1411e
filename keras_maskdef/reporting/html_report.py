"""An evaluation run as one page that needs nothing beside it."""

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
    """The numbers and names of the sentence that says what was measured."""
    attacks = [row for row in report.rows if row.epsilon is not None]
    names = dict.fromkeys(row.attack for row in attacks)
    return {
        "names": list(names),
        "rows": len(attacks),
        "checks": any(row.threat_model == NOISE for row in attacks),
        "adaptive": _adaptive(report),
    }


def _adaptive(report: Report) -> list[str]:
    """The adaptive attacks, each once with all its numbers of EOT samples."""
    samples: dict[str, list[str]] = {}
    for row in report.rows:
        if row.threat_model == ADAPTIVE:
            found = samples.setdefault(wording.budget(row), [])
            found += [str(row.samples)] if row.samples else []
    return [
        f"{title} (EOT samples: {', '.join(numbers)})" if numbers else title
        for title, numbers in samples.items()
    ]


def _by_name(report: Report) -> dict[str, list[str]]:
    """Each sanity check that failed, with all that it found."""
    found: dict[str, list[str]] = {}
    for warning in report.warnings:
        found.setdefault(warning["name"], []).append(report.message(warning))
    return found


def _headline(report: Report, name: str) -> dict[str, Any]:
    clean, worst = report.rows[0].scores, report.rows[-1].scores
    base = report.base(name)
    own, other = worst[name], worst.get(base or "")
    own_clean, other_clean = clean.get(name), clean.get(base or "")
    return {
        "name": report.heading(name),
        "base": base and report.heading(base),
        "worst": _figure(own),
        "images": own.images if own else 0,
        "base_worst": _figure(other),
        "change": _change(own, other),
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
    own, other = row.scores.get(name), row.scores.get(base or "")
    paper = row.paper or {}
    return {
        "attack": "worst case" if row.threat_model == "union" else row.attack,
        "norm": wording.norm(row.norm),
        "epsilon": None if row.epsilon is None else wording.size(row.epsilon),
        "samples": wording.eot_samples(row.samples) if row.samples else "",
        "library": row.library or "",
        "base": _figure(other),
        "own": _figure(own),
        "change": _change(own, other),
        "worst": own and _bar(own.worst, own.worst_interval(), own.images),
        "conditional": own
        and _bar(own.conditional, own.conditional_interval(), own.conditional_images),
        "paper": [_share(paper.get(key)) for key in ("attack", "defence")],
    }


def _figure(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return _bar(score.accuracy, score.interval(), score.images)


def _bar(
    share: float | None, bounds: tuple[float, float] | None, images: int
) -> dict[str, Any] | None:
    """A fraction in percent with its interval, none where there is none."""
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
    """What a defence gains or loses over its base model, in points."""
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
        {"id": section, "title": title, "intro": intro, "pictures": found}
        for section, (title, intro) in _SECTIONS.items()
        if (found := [_embedded(p) for p in pictures if p.section == section])
    ]


def _embedded(picture: Picture) -> dict[str, str]:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return {"data": data, "alt": picture.alt, "caption": picture.caption}
