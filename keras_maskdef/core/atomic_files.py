"""Writes files atomically: complete or not at all, even if the process is killed.

A file replaces a symbolic link of its name and does not follow it: a folder from
elsewhere may hold links to anywhere.
"""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

Fill = Callable[[BinaryIO], Any]
# Errors of file systems without hard links: FAT, Windows shares, object stores.
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write(path: Path, fill: Fill) -> None:
    """Writes a file, replacing one of the same name.

    Args:
        path: The file; its folder is made if missing.
        fill: Writes the content to an open file.
    """
    with replaced(path) as unfinished, open(unfinished, "wb") as file:
        fill(file)


def create(path: Path, fill: Fill) -> bool:
    """Writes a file unless its name exists; returns whether it was written.

    If several processes or threads try at once, exactly one writes it.
    """
    with _unfinished(path) as unfinished:
        with open(unfinished, "wb") as file:
            fill(file)
        _sync(unfinished)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_locked(unfinished, path)
    return True


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to, which then replaces `path`.

    For writers that take a path; the suffix is the same.
    """
    with _unfinished(path) as unfinished:
        yield unfinished
        _sync(unfinished)
        os.replace(unfinished, path)


def own_folder(path: Path) -> Path:
    """Makes a folder inside the folder of a run.

    Raises:
        NotADirectoryError: If it is a symbolic link.
    """
    if path.is_symlink():
        raise NotADirectoryError(
            "What is written into a run stays in its folder, and a symbolic link leads "
            f"elsewhere. Put a folder in its place. Received: {path}, a link to "
            f"{os.readlink(path)}"
        )
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """Yields a unique path that begins with a dot; the file is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process id: threads share it, and machines on a shared folder may.
    unfinished = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _create_locked(unfinished: Path, path: Path) -> bool:
    with FileLock(path.with_name(f".{path.name}.lock")):
        if os.path.lexists(path):
            return False
        os.replace(unfinished, path)
        return True


def _sync(path: Path) -> None:
    with open(path, "r+b") as file:  # Windows cannot sync one opened to read
        os.fsync(file.fileno())
