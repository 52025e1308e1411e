"""What a command prints, and what it leaves out."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def new_console() -> Any:
    """A console of rich that prints names of models and files as they are."""
    from rich.console import Console

    logging.getLogger("tensorflow").addFilter(_is_no_false_alarm)
    return Console(markup=False, emoji=False)


@contextmanager
def without_tensorflows_notes() -> Iterator[None]:
    """Shows what was written on standard error only where something went wrong.

    TensorFlow greets with its build flags and looks for a GPU, on standard error and
    past Python: no setting leaves that out.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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


@contextmanager
def notes_printed(console: Any) -> Iterator[None]:
    """What was done to images is a line, and no warning with a place in the source."""
    from keras_maskdef.core.progress import say
    from keras_maskdef.datasets import ImageDataWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", ImageDataWarning)
        shown = warnings.showwarning

        def show(message: Any, category: Any, *where: Any, **other: Any) -> None:
            if issubclass(category, ImageDataWarning):
                say(console, f"note: {message}")
            else:
                shown(message, category, *where, **other)

        warnings.showwarning = show
        yield


@contextmanager
def without_robustness_warnings() -> Iterator[None]:
    """Leaves out warnings that the printed table repeats."""
    from keras_maskdef.evaluation.checks import RobustnessWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)
        yield


def say_page(folder: Path, console: Any) -> None:
    """Where the page of a run is."""
    from keras_maskdef.core.progress import say
    from keras_maskdef.reporting.html_report import PAGE

    say(console, f"the report: {folder / PAGE}")
    say(console, f"open it in a browser: {(folder / PAGE).resolve().as_uri()}")


def write_page(run: Path, console: Any) -> None:
    """The page of a run that is done; the run is worth keeping without one."""
    from keras_maskdef.core.progress import say
    from keras_maskdef.reporting.html_report import write_report

    say(console, f"wrote {run}")
    try:
        write_report(run)
    except ImportError as error:
        say(console, f"no page was made of it: {error}; then `maskdef report {run}`")
    else:
        say_page(run, console)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Five Keras models, each traced once, are to TensorFlow one that is retraced."""
    return "triggered tf.function retracing" not in record.getMessage()
