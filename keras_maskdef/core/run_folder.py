"""The folder of a run, which can be resumed after a kill."""

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
    """Stores the outcome of each piece of work in a file, written atomically.

    Args:
        path: The folder; made if missing.
        config: What the run depends on, as plain data. A folder holds the outcomes of
            one configuration only.
        resume: Whether to resume a stopped run of the same configuration.

    Raises:
        FileExistsError: If the folder holds a run and `resume` is False.
        ValueError: If the run in the folder has another configuration. Nothing is
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
        # Another process may have been first: the stored configuration is compared.
        self._check_same(read_json(self.path / CONFIG, "object"))
        if not created and not resume:
            raise FileExistsError(
                "`folder` holds a run already: resume it, or choose another folder. "
                f"Received: folder={str(self.path)!r}, resume=False"
            )

    @classmethod
    def opened(cls, path: str | Path) -> "RunFolder":
        """Opens the run that a folder holds.

        Raises:
            FileNotFoundError: If it holds no run.
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
        """Names of all finished pieces of work."""
        # Unfinished files of a killed process begin with a dot.
        files = (self.path / OUTCOMES).glob("[!.]*.npz")
        return sorted(path.stem for path in files)

    def load(self, key: str, without: Collection[str] = ()) -> Arrays:
        """The arrays of a piece of work.

        Args:
            key: Its name.
            without: Names of arrays to skip.

        Raises:
            OSError: If the file is damaged.
        """
        return read_arrays(self.outcome(key), without)

    def load_arrays(self, name: str) -> Arrays:
        """Reads arrays other than outcomes.

        Raises:
            OSError: If the file is damaged.
        """
        return read_arrays(self.path / name)

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Stores the arrays of a piece of work."""
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
        """Writes arrays other than outcomes."""
        named: dict[str, Any] = dict(arrays)
        with _said_what_is_kept(self.path / name) as path:
            write(path, lambda file: np.savez_compressed(file, **named))

    def kept(
        self, name: str, make: Callable[[], Any], schema: str | None = None
    ) -> Any:
        """Reads plain data, making it first if the file is missing.

        If several processes make it, all use the first one's data.

        Args:
            name: Name of the file.
            make: Makes the data.
            schema: Name of its schema.
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
        """Claims an empty folder for this run; returns False if it held a run."""
        if (self.path / CONFIG).exists():
            return False
        # Unfinished files of a killed process begin with a dot. Another process may
        # begin a run meanwhile, and writes its configuration first.
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
            f"could not write {path}: {error}. Finished work is kept; "
            "resume the run when there is room"
        ) from error


def _as_json(content: Any) -> Fill:
    text = json.dumps(content, indent=1) + "\n"
    return lambda file: file.write(text.encode())


@contextmanager
def kept_in(
    folder: str | Path | None, config: Mapping[str, Any], resume: bool
) -> Iterator[RunFolder]:
    """Yields the folder of a run, or a temporary one."""
    if folder is not None:
        yield RunFolder(folder, config, resume)
        return
    with tempfile.TemporaryDirectory(prefix="maskdef-") as once:
        yield RunFolder(Path(once) / "run", config)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
