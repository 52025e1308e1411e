"""Puts the parts of a run together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_maskdef.core.run_folder import RESULTS, RunFolder
from keras_maskdef.evaluation.gallery import GALLERY
from keras_maskdef.evaluation.run_store import LABELS, Stored
from keras_maskdef.evaluation.speed import SPEED
from keras_maskdef.evaluation.summary import summary
from keras_maskdef.results.report import Report
from keras_maskdef.results.saved_run import read_gallery, read_speed


def merge(parts: Sequence[str | Path], folder: str | Path) -> Report:
    """Makes one run of its parts, as if it had never been divided.

    Args:
        parts: Folders of all parts, in any order, each done.
        folder: Where the whole goes; an empty folder, or a merge that was stopped.

    Returns:
        The report of the whole.

    Raises:
        FileNotFoundError: If a folder holds no run.
        OSError: If a file of a part is damaged.
        ValueError: If parts are missing, twice there, not done, or not of the same
            run.
    """
    each = sorted(map(_opened, parts), key=lambda part: part.config["shard"])
    _check(each)
    labels = _labels(each)
    whole = {**each[0].config, "shard": [1, 1]}
    merged = RunFolder(folder, whole, resume=True)
    merged.write_arrays(LABELS, {"labels": labels})
    for part in each:
        # What else lies in its folder is of another part or run.
        for scenario, column, keys in part.done():
            for key in keys:
                merged.save(key, part.load(scenario, column, key))
    _copy_what_is_shown(each[0], merged)
    report = summary(merged)
    merged.write_json(RESULTS, report.to_dict())
    return report


def _labels(parts: Sequence[Stored]) -> np.ndarray:
    """The labels, of which each part has all."""
    first = parts[0].all_labels()
    for part in parts[1:]:
        if not np.array_equal(part.all_labels(), first):
            raise ValueError(
                f"`parts` must be of one run. Received: {str(part.store.path)!r} and "
                f"{str(parts[0].store.path)!r}, which differ in {LABELS}"
            )
    return first


def _copy_what_is_shown(first: Stored, merged: RunFolder) -> None:
    """Examples and speed, of the part that has the first images."""
    config = first.config
    sizes = len(config["columns"]), len(config["class_names"])
    gallery = read_gallery(first.store.path, *sizes)
    if gallery:
        merged.write_arrays(GALLERY, gallery)
    speed = read_speed(first.store.path)
    if speed:
        merged.write_json(SPEED, speed)


def _opened(folder: str | Path) -> Stored:
    store = RunFolder.opened(folder)
    if "shard" not in store.config:
        raise ValueError(
            "`parts` must be folders of `maskdef evaluate`. Received: "
            f"{str(folder)!r}, which holds a run of another kind"
        )
    return Stored(store)


def _check(parts: Sequence[Stored]) -> None:
    shards = [tuple(part.config["shard"]) for part in parts]
    wanted = [(number + 1, len(shards)) for number in range(len(shards))]
    if not shards or shards != wanted:
        raise ValueError(
            "`parts` must be all parts of a run, each once. Received: parts "
            f"{', '.join(f'{i}/{n}' for i, n in shards) or 'none'}"
        )
    for part in parts:
        different = [
            key
            for key, value in part.config.items()
            if key != "shard" and value != parts[0].config.get(key)
        ]
        if different:
            raise ValueError(
                "`parts` must be of one run. Received: "
                f"{str(part.store.path)!r} and {str(parts[0].store.path)!r}, which "
                f"differ in {', '.join(different)}"
            )
        if not (part.store.path / RESULTS).exists():
            raise ValueError(
                "`parts` must be done; resume it first. Received: "
                f"{str(part.store.path)!r}, without {RESULTS}"
            )
