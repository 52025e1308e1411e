"""A run that nobody ran: a folder as `maskdef evaluate` leaves it."""

import json
from pathlib import Path

import numpy as np

from keras_maskdef.results.score import Score

IMAGES, FIRST_RIGHT, JUDGEMENTS, VOTES = 1000, 970, 10, 6
BARE, MASKED, VOTING = "plain LeNet", "learned mask", 'MAD <b>&" of 6'
CLASSES = ["0", "1 & <i>", "2", "3", "4", "5", "6", "7", "8", "a long name of a class"]
EPSILONS = (0.05, 0.1, 0.2)
WARNING = {"name": "NoiseWarning", "message": "noise <harms> as much as pgd linf 0.05"}


def made_results():
    """What `results.json` holds: a bare column and two defences, 22 rows."""
    rows = [row("clean", None, None, "none", [0.989, 0.952, 0.971])]
    rows += [attack("uniform noise", "noise", e, 0.3, library=None) for e in EPSILONS]
    for number, threat in enumerate(("surrogate", "classifier", "gray_box")):
        for name in ("fgsm", "pgd"):
            rows += [attack(name, threat, e, 4 + number) for e in EPSILONS[:2]]
    rows += [attack("pgd", "white_box", e, 9) for e in EPSILONS]
    rows[8]["paper"] = {"attack": 0.1172, "defence": 0.7094}
    rows[12]["scores"][VOTING] = None
    for samples in (1, 20):
        rows.append(attack("pgd", "adaptive", 0.1, 12 + samples / 10, samples=samples))
    rows.append(row("the worst of all", None, None, "union", [0.0, 0.021, 0.123]))
    return {
        "schema": 1,
        "settings": {
            "keras_maskdef": "0.1.0",
            "keras": "3.12.0",
            "backend": "tensorflow",
            "seed": 0,
            "images": IMAGES,
            "judgements": JUDGEMENTS,
            "samples": [1, 20],
        },
        "class_names": CLASSES,
        "defences": {
            BARE: {"bare": BARE, "votes": None},
            MASKED: {"bare": BARE, "votes": None},
            VOTING: {"bare": BARE, "votes": VOTES},
        },
        "rows": rows,
        "warnings": [WARNING],
        "notes": ["Attacks are crafted on 1,000 images of the test set."],
    }


def attack(name, threat, epsilon, strength, library="foolbox", samples=None):
    """The stronger and the larger, the less is left; the bare column loses most."""
    left = [0.98 * np.exp(-strength * epsilon * w) for w in (3, 2.2, 1)]
    made = row(name, "linf", epsilon, threat, left)
    return {**made, "library": library, "samples": samples}


def row(name, norm, epsilon, threat, accuracies):
    names = (BARE, MASKED, VOTING)
    scores = dict(zip(names, map(score, names, accuracies), strict=True))
    own = {"attack": name, "norm": norm, "epsilon": epsilon, "threat_model": threat}
    return {**own, "library": None, "samples": None, "paper": None, "scores": scores}


def score(name, accuracy):
    worst = accuracy * (0.9 if name == VOTING else 1)
    conditional = min(1.0, accuracy * IMAGES / FIRST_RIGHT)
    votes = [accuracy * (1 - 0.4 / (n + 1)) for n in range(VOTES)]
    return {
        "accuracy": accuracy,
        "images": IMAGES,
        "interval_95": Score(accuracy, IMAGES).interval(),
        "worst": worst,
        "worst_interval_95": Score(worst, IMAGES).interval(),
        "conditional": conditional,
        "conditional_images": FIRST_RIGHT,
        "conditional_interval_95": Score(conditional, FIRST_RIGHT).interval(),
        "votes": votes if name == VOTING else None,
    }


def made_gallery():
    """What `gallery.npz` holds: rings and bars with noise, for all three columns."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    shapes = (abs(np.hypot(x, y) - 0.6) < 0.15, abs(x) < 0.15, abs(x - y) < 0.2)
    images = np.array(shapes, "float64")[..., None]
    attacked = np.clip(images + random.choice([-0.1, 0.1], images.shape), 0, 1)
    hidden = np.kron(random.random((VOTES, 3, 4, 4)) < 0.75, np.ones((7, 7))) > 0
    gallery = {"title": np.array("adaptive pgd linf 0.1"), "images": images}
    gallery["labels"] = np.array([0, 1, 9])
    for number in range(3):
        gallery[f"{number}/adversarial"] = attacked
        gallery[f"{number}/prediction"] = np.array([0, 7, 9])
        gallery[f"{number}/clean_prediction"] = np.array([0, 1, 9])
    gallery["1/mask"] = np.clip(images + 0.3 * random.random(images.shape), 0, 1)
    gallery["1/filtered"] = attacked * gallery["1/mask"]
    gallery["2/views"] = np.where(hidden[..., None], 0, attacked)
    gallery["2/hidden"] = hidden
    gallery["2/ballots"] = random.integers(0, 10, (VOTES, 3))
    return gallery


def write_run(folder: Path, results=None, gallery=True, speed=True) -> Path:
    """Writes a run folder and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results or made_results())
    (folder / "results.json").write_text(text)
    if gallery:
        np.savez(folder / "gallery.npz", **made_gallery())
    if speed:
        counts = [1, 2, 4, 6]
        rates = {"votes": counts, "images_per_second": [4000 / n for n in counts]}
        (folder / "speed.json").write_text(json.dumps({VOTING: rates}))
    return folder
