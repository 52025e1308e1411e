"""The folder of a run: what is done stays done, whatever kills it."""

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

CONFIG, RESULTS, OUTCOMES = "config.json", "results.json", "outcomes"
Arrays = dict[str, np.ndarray]


class RunFolder:
    """Outcomes in one file for each piece of work, written whole or not at all.

    Args:
        path: The folder; made if it is not there.
        config: What the run depends on, as plain data. A folder holds the outcomes of
            one configuration only.
        resume: Whether to go on where a run of the same configuration was stopped.

    Raises:
        FileExistsError: If there is a run in the folder, and not `resume`.
        ValueError: If the run in the folder is of another configuration. Nothing is
            overwritten.
    """

    def __init__(
        self, path: str | Path, config: Mapping[str, Any], resume: bool = False
    ) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(
                f"`folder` must be a folder. Received: the file {str(self.path)!r}"
            )
        self._check(json.loads(json.dumps(config)), resume)
        if not (self.path / CONFIG).exists():
            self.write_json(CONFIG, config)
        self.config = read_json(self.path / CONFIG)

    @classmethod
    def opened(cls, path: str | Path) -> "RunFolder":
        """The run that a folder holds.

        Raises:
            FileNotFoundError: If it holds none.
        """
        config = Path(path) / CONFIG
        if not config.exists():
            raise FileNotFoundError(
                f"`folder` must be that of a run, with a {CONFIG} in it; `maskdef "
                f"evaluate --output` makes one. Received: folder={str(path)!r}"
            )
        return cls(path, read_json(config), resume=True)

    def __contains__(self, key: str) -> bool:
        return self._outcome(key).exists()

    def keys(self) -> list[str]:
        """Names of all pieces of work that are done."""
        # What a killed process left unfinished begins with a dot.
        files = (self.path / OUTCOMES).glob("[!.]*.npz")
        return sorted(path.stem for path in files)

    def load(self, key: str) -> Arrays:
        """The arrays of a piece of work.

        Raises:
            OSError: If the file is damaged.
        """
        return self._load(self._outcome(key))

    def load_arrays(self, name: str) -> Arrays:
        """Arrays that are no outcomes.

        Raises:
            OSError: If the file is damaged.
        """
        return self._load(self.path / name)

    def _load(self, path: Path) -> Arrays:
        try:
            with open(path, "rb") as file, np.load(file) as stored:
                return dict(stored)
        except (EOFError, ValueError, zipfile.BadZipFile) as error:
            raise OSError(
                f"{path} is damaged ({error}). Delete it and resume: this piece of "
                "work is then done again, and all others are kept"
            ) from error

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps the arrays of a piece of work."""
        named: dict[str, Any] = dict(arrays)
        self._write(self._outcome(key), lambda file: np.savez(file, **named))

    def write_json(self, name: str, content: Any) -> None:
        """Writes plain data."""
        text = json.dumps(content, indent=1) + "\n"
        self._write(self.path / name, lambda file: file.write(text.encode()))

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes arrays that are no outcomes."""
        named: dict[str, Any] = dict(arrays)
        path = self.path / name
        self._write(path, lambda file: np.savez_compressed(file, **named))

    def _check(self, config: Any, resume: bool) -> None:
        path = self.path / CONFIG
        if not path.exists():
            # What a killed process left unfinished begins with a dot.
            if any(self.path.glob("[!.]*")):
                raise FileExistsError(
                    f"`folder` must be empty or hold a run, and it holds something "
                    f"else. Received: folder={str(self.path)!r}"
                )
            return
        stored = read_json(path)
        different = sorted(
            key for key in {*config, *stored} if config.get(key) != stored.get(key)
        )
        if different:
            raise ValueError(
                "`folder` holds a run of another configuration; nothing was changed "
                f"in it. Received: folder={str(self.path)!r}, which differs in "
                + "; ".join(
                    f"{key}: {_short(stored.get(key))} there, "
                    f"{_short(config.get(key))} here"
                    for key in different
                )
            )
        if not resume:
            raise FileExistsError(
                "`folder` holds a run already: resume it, or choose another folder. "
                f"Received: folder={str(self.path)!r}, resume=False"
            )

    def _outcome(self, key: str) -> Path:
        return self.path / OUTCOMES / f"{key}.npz"

    def _write(self, path: Path, write: Any) -> None:
        """Under another name first, since a process can be killed at any moment."""
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(unfinished, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OSError(
                f"could not write {path}: {error}. What was done before is kept; "
                "resume the run when there is room"
            ) from error


@contextmanager
def kept_in(
    folder: str | Path | None, config: Mapping[str, Any], resume: bool
) -> Iterator[RunFolder]:
    """The folder of a run, or one that is used once."""
    if folder is not None:
        yield RunFolder(folder, config, resume)
        return
    with tempfile.TemporaryDirectory(prefix="maskdef-") as once:
        yield RunFolder(Path(once) / "run", config)


def read_json(path: Path) -> Any:
    """Plain data from a file of a run.

    Raises:
        OSError: If the file is damaged.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise OSError(
            f"{path} is damaged ({error}). Restore it from a copy of the run"
        ) from error


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
