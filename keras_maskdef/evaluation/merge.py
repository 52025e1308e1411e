"""Puts the parts of a run together."""

from collections.abc import Sequence
from pathlib import Path

from keras_maskdef._run_folder import RESULTS, RunFolder, read_json
from keras_maskdef.evaluation.gallery import GALLERY, SPEED
from keras_maskdef.evaluation.report import Report
from keras_maskdef.evaluation.stored import LABELS
from keras_maskdef.evaluation.summary import summary


def merge(parts: Sequence[str | Path], folder: str | Path) -> Report:
    """Makes one run of its parts, as if it had never been divided.

    Args:
        parts: Folders of all parts, in any order, each done.
        folder: Where the whole goes; an empty folder, or a merge that was stopped.

    Returns:
        The report of the whole.

    Raises:
        FileNotFoundError: If a folder holds no run.
        ValueError: If parts are missing, twice there, not done, or not of the same
            run.
    """
    stores = [RunFolder.opened(part) for part in parts]
    _check([store.config for store in stores], parts)
    for store in stores:
        if not (store.path / RESULTS).exists():
            raise ValueError(
                "`parts` must be done; resume it first. Received: "
                f"{str(store.path)!r}, without {RESULTS}"
            )
    whole = {**stores[0].config, "shard": [1, 1]}
    merged = RunFolder(folder, whole, resume=True)
    merged.write_arrays(LABELS, stores[0].load_arrays(LABELS))
    for store in stores:
        for key in store.keys():
            if key not in merged:
                merged.save(key, store.load(key))
        if (store.path / GALLERY).exists():
            merged.write_arrays(GALLERY, store.load_arrays(GALLERY))
        if (store.path / SPEED).exists():
            merged.write_json(SPEED, read_json(store.path / SPEED))
    report = summary(merged)
    merged.write_json(RESULTS, report.to_dict())
    return report


def _check(configs: Sequence[dict], parts: Sequence[str | Path]) -> None:
    for config, part in zip(configs, parts, strict=True):
        if "shard" not in config:
            raise ValueError(
                "`parts` must be folders of `maskdef evaluate`. Received: "
                f"{str(part)!r}, which holds a run of another kind"
            )
        different = [
            key
            for key in config
            if key != "shard" and config[key] != configs[0].get(key)
        ]
        if different:
            raise ValueError(
                "`parts` must be of one run. Received: "
                f"{str(part)!r} and {str(parts[0])!r}, which differ in "
                f"{', '.join(different)}"
            )
    shards = sorted(tuple(config["shard"]) for config in configs)
    count = shards[0][1] if shards else 0
    if shards != [(number + 1, count) for number in range(count)]:
        raise ValueError(
            "`parts` must be all parts of a run, each once. Received: parts "
            f"{', '.join(f'{i}/{n}' for i, n in shards) or 'none'}"
        )
