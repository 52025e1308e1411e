"""The `maskdef` command, without what TensorFlow says when it is imported.

TensorFlow greets with its build flags and looks for a GPU, on standard error and past
Python: no setting leaves that out. An import of any module of `keras_maskdef` may
import TensorFlow, so that this one lies outside.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def main() -> int:
    """Runs the command; returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _greeting_left_out():
        import tensorflow  # noqa: F401  # reads images on other backends, too

        from keras_maskdef.cli import main as command
    return command()


@contextmanager
def _greeting_left_out() -> Iterator[None]:
    """Shows what was written on standard error only where something went wrong."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(shown, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)


if __name__ == "__main__":
    sys.exit(main())
