"""The folder of a run: what is done stays done, whatever kills it."""

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.core.atomic_files import Fill, create, own_folder, write
from keras_maskdef.core.checked_files import Arrays, read_arrays, read_json

CONFIG, RESULTS, OUTCOMES = "config.json", "results.json", "outcomes"
_MOST_NAMED = 20


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
        self.config: dict[str, Any] = json.loads(json.dumps(config))
        created = self._claim()
        # Whoever was first: the configuration that is there is the one that holds.
        self._check_same(read_json(self.path / CONFIG, "object"))
        if not created and not resume:
            raise FileExistsError(
                "`folder` holds a run already: resume it, or choose another folder. "
                f"Received: folder={str(self.path)!r}, resume=False"
            )

    @classmethod
    def opened(cls, path: str | Path) -> "RunFolder":
        """The run that a folder holds.

        Raises:
            FileNotFoundError: If it holds none.
            OSError: If its configuration is damaged.
        """
        config = Path(path) / CONFIG
        if not config.exists():
            raise FileNotFoundError(
                f"`folder` must be that of a run, with a {CONFIG} in it; `maskdef "
                f"evaluate --output` makes one. Received: folder={str(path)!r}"
            )
        return cls(path, read_json(config, "object"), resume=True)

    def __contains__(self, key: str) -> bool:
        return self.outcome(key).exists()

    def keys(self) -> list[str]:
        """Names of all pieces of work that are done."""
        # What a killed process left unfinished begins with a dot.
        files = (self.path / OUTCOMES).glob("[!.]*.npz")
        return sorted(path.stem for path in files)

    def load(self, key: str, without: Collection[str] = ()) -> Arrays:
        """The arrays of a piece of work.

        Args:
            key: Its name.
            without: Names of arrays that are not needed.

        Raises:
            OSError: If the file is damaged.
        """
        return read_arrays(self.outcome(key), without)

    def load_arrays(self, name: str) -> Arrays:
        """Arrays that are no outcomes.

        Raises:
            OSError: If the file is damaged.
        """
        return read_arrays(self.path / name)

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps the arrays of a piece of work."""
        named: dict[str, Any] = dict(arrays)
        path = self.outcome(key)
        own_folder(path.parent)
        with _said_what_is_kept(path):
            write(path, lambda file: np.savez(file, **named))

    def write_json(self, name: str, content: Any) -> None:
        """Writes plain data."""
        with _said_what_is_kept(self.path / name) as path:
            write(path, _as_json(content))

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes arrays that are no outcomes."""
        named: dict[str, Any] = dict(arrays)
        with _said_what_is_kept(self.path / name) as path:
            write(path, lambda file: np.savez_compressed(file, **named))

    def kept(
        self, name: str, make: Callable[[], Any], schema: str | None = None
    ) -> Any:
        """Plain data that is made once: what another process made first is taken.

        Args:
            name: Name of the file.
            make: Makes the data, where they are not there.
            schema: Name of their schema.
        """
        if not (self.path / name).exists():
            with _said_what_is_kept(self.path / name) as path:
                create(path, _as_json(make()))
        return read_json(self.path / name, schema)

    def outcome(self, key: str) -> Path:
        """The file of a piece of work."""
        file = f"{key}.npz"
        if Path(file).name != file:
            raise ValueError(
                f"`key` must be the name of a file in {OUTCOMES}. Received: key={key!r}"
            )
        return self.path / OUTCOMES / file

    def _claim(self) -> bool:
        """Makes an empty folder that of this run; whether it was not one before."""
        if (self.path / CONFIG).exists():
            return False
        # What a killed process left unfinished begins with a dot. Another one may have
        # begun a run meanwhile, whose configuration is there before all else.
        if any(self.path.glob("[!.]*")) and not (self.path / CONFIG).exists():
            raise FileExistsError(
                f"`folder` must be empty or hold a run, and it holds something "
                f"else. Received: folder={str(self.path)!r}"
            )
        with _said_what_is_kept(self.path / CONFIG) as path:
            return create(path, _as_json(self.config))

    def _check_same(self, stored: dict[str, Any]) -> None:
        ours = self.config
        different = sorted(
            key for key in {*ours, *stored} if ours.get(key) != stored.get(key)
        )
        if different:
            raise ValueError(
                "`folder` holds a run of another configuration; nothing was changed "
                f"in it. Received: folder={str(self.path)!r}, which differs in "
                + "; ".join(
                    f"{key[:60]}: {_short(stored.get(key))} there, "
                    f"{_short(ours.get(key))} here"
                    for key in different[:_MOST_NAMED]
                )
            )


@contextmanager
def _said_what_is_kept(path: Path) -> Iterator[Path]:
    try:
        yield path
    except OSError as error:
        raise OSError(
            f"could not write {path}: {error}. What was done before is kept; "
            "resume the run when there is room"
        ) from error


def _as_json(content: Any) -> Fill:
    text = json.dumps(content, indent=1) + "\n"
    return lambda file: file.write(text.encode())


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


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
