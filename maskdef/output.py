"""Output of the commands: console, notes and suppressed messages."""

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
    """A rich console that prints names of models and files literally."""
    from rich.console import Console

    logging.getLogger("tensorflow").addFilter(_is_no_false_alarm)
    return Console(markup=False, emoji=False)


@contextmanager
def without_tensorflows_notes() -> Iterator[None]:
    """Hides standard error, and shows it only after an error.

    TensorFlow's import writes its build flags and a search for GPUs to standard error,
    bypassing Python; no setting prevents that.
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
    """Prints an `ImageDataWarning` as a line without its place in the source."""
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
    """Hides warnings that the printed report repeats."""
    from keras_maskdef.evaluation.checks import RobustnessWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)
        yield


def say_page(folder: Path, console: Any) -> None:
    """Prints the path of a run's page."""
    from keras_maskdef.core.progress import say
    from keras_maskdef.reporting.html_report import PAGE

    say(console, f"the report: {folder / PAGE}")
    say(console, f"open it in a browser: {(folder / PAGE).resolve().as_uri()}")


def write_page(run: Path, console: Any) -> None:
    """Writes the page of a finished run; a missing library is only a note."""
    from keras_maskdef.core.progress import say
    from keras_maskdef.reporting.html_report import write_report

    say(console, f"wrote {run}")
    try:
        write_report(run)
    except ImportError as error:
        say(console, f"no report page: {error}; then `maskdef report {run}`")
    else:
        say_page(run, console)


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """TensorFlow takes five Keras models, traced once each, for one retraced model."""
    return "triggered tf.function retracing" not in record.getMessage()
