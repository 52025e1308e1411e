"""Writes docs/results.md from the published runs of recipes.

    python benchmarks/results_page.py               # writes the page, publishes nothing
    python benchmarks/results_page.py --publish DIR  # publishes a run first
    python benchmarks/results_page.py --again DIR    # publishes a second training first

DIR is the output folder of `maskdef recipe`. Its results, and its picture, are copied.
The second training of a published recipe is compared with the first below its table,
whose intervals are over images and cover one training only.
"""

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from results_again import said_again
from results_notes import INTRODUCTION, NOTES

from keras_maskdef.papers.catalogue import RECIPES
from keras_maskdef.papers.claims import CLAIMS
from keras_maskdef.papers.run_recipe import PICTURE, published

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "benchmarks/results/recipes"
AGAIN = ROOT / "benchmarks/results/again"
PICTURES = ROOT / "docs/images/results"
PAGE = ROOT / "docs/results.md"


def publish(folder: Path, where: Path = PUBLISHED) -> None:
    results = json.loads((folder / "results.json").read_text())
    name = f"{results['recipe'].replace('/', '-')}-{results['scale']}"
    where.mkdir(parents=True, exist_ok=True)
    (where / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    if where == PUBLISHED and (folder / PICTURE).exists():
        PICTURES.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / PICTURE, PICTURES / f"{name}.png")


def page() -> str:
    found: dict[str, tuple[Any, dict[str, Any], Path]] = {}
    for path in sorted(PUBLISHED.glob("*.json")):
        recipe, results = published(path, RECIPES)
        found[results["recipe"]] = (recipe, results, path)
    return "\n".join([*lines(found)]) + "\n"


def lines(found: dict[str, Any]) -> Iterator[str]:
    yield INTRODUCTION
    yield "## The claims\n"
    yield "| claim | source | verdict | figures |"
    yield "|---|---|---|---|"
    measured = {name: results["result"] for name, (_, results, _) in found.items()}
    for claim in CLAIMS:
        verdict = claim.verdict(measured)
        said = (
            ("not measured yet", "")
            if verdict is None
            else (f"**{verdict.word}**", verdict.figures)
        )
        yield f"| {claim.text} | {claim.source} | {' | '.join(said)} |"
    for name, recipe in RECIPES.items():
        yield f"\n## {recipe.title}\n"
        yield from section(name, recipe, found.get(name))


def section(name: str, recipe: Any, run: Any) -> Iterator[str]:
    if run is None:
        why = recipe.not_run or "not trained or attacked yet"
        yield f"`{name}`: not run here ({why})."
        return
    scaled, results, path = run
    command = f"maskdef recipe {name} --scale {results['scale']}"
    (*others,) = {each["precision"] for each in results["trained"]} - {"float32"}
    yield (
        "    " + " ".join([command, *(f"--precision {each}" for each in others)]) + "\n"
    )
    if results["cuts"]:
        yield f"Reduced at this scale: {'; '.join(recipe.cuts())}.\n"
    for trained in results["trained"]:
        yield "- " + training(trained)
    table = scaled.table(results["result"])
    yield ""
    yield from table.markdown()
    yield "\n" + " ".join(table.notes)
    if (AGAIN / path.name).exists():
        second = json.loads((AGAIN / path.name).read_text())
        yield "\n" + said_again(scaled, results["result"], second["result"])
    if name in NOTES:
        yield "\n" + NOTES[name]
    picture = PICTURES / f"{path.stem}.png"
    if picture.exists():
        where = picture.relative_to(PAGE.parent).as_posix()
        yield f"\n![{recipe.title}: a plot of the table]({where})"
    yield f"\nData: `{path.relative_to(ROOT).as_posix()}`."


def training(trained: dict[str, Any]) -> str:
    said = f"{trained['what']}: {trained['epochs']} epochs"
    if trained["precision"] != "float32":
        said += f", {trained['precision']}"
    if "accuracy" in trained["last"]:
        said += f", training accuracy {100 * trained['last']['accuracy']:.1f} %"
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--publish", type=Path, nargs="*", default=[])
    parser.add_argument("--again", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    for folder in options.publish:
        publish(folder)
    for folder in options.again:
        publish(folder, AGAIN)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
