"""Files that are written whole or not at all, whatever kills the process.

What is written takes the place of a symbolic link of its name, and does not follow it:
a folder that came from elsewhere may hold links to anywhere.
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
# What file systems without hard links say: FAT, shares of Windows, object stores.
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write(path: Path, fill: Fill) -> None:
    """Writes a file in the place of the one that has its name.

    Args:
        path: The file; its folder is made if it is not there.
        fill: Writes the content to an open file.
    """
    with replaced(path) as unfinished, open(unfinished, "wb") as file:
        fill(file)


def create(path: Path, fill: Fill) -> bool:
    """Writes a file where nothing has its name, and says whether nothing had.

    Of several processes or threads that try it at once, one does it.
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
    """The name to write a file under, until it is whole.

    For what is written by name; the name ends as that of the file.
    """
    with _unfinished(path) as unfinished:
        yield unfinished
        _sync(unfinished)
        os.replace(unfinished, path)


def own_folder(path: Path) -> Path:
    """Makes a folder inside of the folder of a run.

    Raises:
        NotADirectoryError: If a symbolic link has its name.
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
    """A name of nobody else's that begins with a dot, removed in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # No process id: threads share it, and so do machines that share a folder.
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
    with open(path, "r+b") as file:  # Windows syncs none that is open to be read
        os.fsync(file.fileno())
