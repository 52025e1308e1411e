"""Recipes: the experiments of the papers as data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.papers.alternation import Alternation
from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.result_table import ResultTable

SCALES = ("paper", "cpu")


@dataclass(frozen=True)
class Cuts:
    """What `--scale cpu` reduces.

    Args:
        networks: Fields of every `Network`, such as `{"width": 0.5, "epochs": 12}`.
        alternations: Fields of every `Alternation`.
        autoencoders: Fields of every `Autoencoder`.
        recipe: Fields of the recipe itself, such as `{"images": 500}`.
        columns: Headings of the columns that stay; `None` for all.
    """

    networks: Mapping[str, Any] = field(default_factory=dict, hash=False)
    alternations: Mapping[str, Any] = field(default_factory=dict, hash=False)
    autoencoders: Mapping[str, Any] = field(default_factory=dict, hash=False)
    recipe: Mapping[str, Any] = field(default_factory=dict, hash=False)
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment: its trainings, its measurements, and the paper's figures.

    Each kind of experiment is a subclass with a `run`.

    Args:
        name: Its key in `RECIPES`; the paper comes before the slash.
        title: The paper's name for it, and its topic.
        dataset: A name of `keras_maskdef.datasets`.
        images: Number of test images.
        minutes: Expected minutes at `--scale cpu` on two cores, trainings included.
        cpu: What `--scale cpu` reduces.
        not_run: Why no figures of it are published; `None` if they are.
        seed: Integer for all randomness of the evaluation.
    """

    name: str
    title: str
    dataset: str
    images: int = 10_000
    minutes: int
    cpu: Cuts = Cuts()
    not_run: str | None = None
    seed: int = 0

    def check(self) -> None:
        """Checks requirements before the training.

        Raises:
            ImportError: If a library that the experiment needs is missing.
        """

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """Runs the experiment, or resumes it.

        Args:
            models: `ModelCache`.
            store: The folder of the run; a stopped run is resumed from it.
            start: Starts a progress bar, see `keras_maskdef.core.progress`.

        Returns:
            Its figures as plain data.
        """
        raise NotImplementedError

    def trainings(self) -> list[Any]:
        """All trainings it needs; those that others start from come first."""
        return settings_of(self)

    def at(self, scale: str) -> "Recipe":
        """The recipe at a scale of `SCALES`.

        Raises:
            ValueError: For another scale.
        """
        if scale not in SCALES:
            raise ValueError(
                f"`scale` must be one of {', '.join(SCALES)}. Received: scale={scale!r}"
            )
        return self if scale == "paper" else self.cut(self.cpu)

    def cut(self, cuts: Cuts) -> "Recipe":
        """The same experiment, reduced."""
        by_type = {
            Network: cuts.networks,
            Alternation: cuts.alternations,
            Autoencoder: cuts.autoencoders,
        }

        def smaller(value: Any) -> Any:
            return replace(value, **by_type.get(type(value), {}))

        return replace(_mapped(self, smaller), **cuts.recipe)

    def cuts(self) -> list[str]:
        """Descriptions of what `--scale cpu` reduces, one line each."""
        whole, small = (dict(_leaves(r.plain())) for r in (self, self.at("cpu")))
        lines = [
            f"{name}: {_said(value, path)} instead of "
            f"{_said(whole.get(path, _LIBRARY), path)}"
            for path, value in small.items()
            if whole.get(path, _LIBRARY) != value
            for name in [_subject(path)]
        ]
        return list(dict.fromkeys(lines))

    def table(self, result: Mapping[str, Any]) -> ResultTable:
        """The figures of a run as a table.

        Args:
            result: What `run` returned.
        """
        raise NotImplementedError

    def plot(self, result: Mapping[str, Any], path: Path) -> bool:
        """Draws the figures of a run, if there is something to draw.

        Args:
            result: What `run` returned.
            path: Where to write a PNG.

        Returns:
            Whether a file was written.
        """
        return False

    def plain(self) -> dict[str, Any]:
        """Its setting as plain data, without `cpu`, `minutes` and `not_run`."""
        setting = asdict(self)
        for name in ("cpu", "minutes", "not_run"):
            del setting[name]
        return setting


def settings_of(value: Any) -> list[Any]:
    """All trainings that a part of a recipe needs, without repeats."""
    settings: list[Any] = []
    for setting in _settings(value):
        if setting not in settings:
            settings.append(setting)
    return settings


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Applies `change` to a dataclass and its parts, inner parts first."""
    if isinstance(value, Cuts):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _mapped(getattr(value, f.name), change) for f in fields(value)}
        return change(replace(value, **parts))
    if isinstance(value, Mapping):
        return {key: _mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_mapped(part, change) for part in value)
    return value


def _settings(value: Any) -> Iterator[Any]:
    """Yields networks before what is trained from them."""
    if isinstance(value, Cuts):
        return
    parts: list[Any] = []
    if is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, f.name) for f in fields(value)]
    elif isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, tuple):
        parts = list(value)
    for part in parts:
        yield from _settings(part)
    if isinstance(value, (Network, Alternation, Autoencoder)):
        yield value


def _leaves(
    value: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, part in value.items():
        yield from _leaves(part, (*path, key))


_LIBRARY = "the library's"
_OWNERS = {
    "adaptive_options": "adaptive attack",
    "pretrained": "network",
    "surrogate": "network",
}

# Fields keep their names in stored configurations.
_FIELDS = {
    "checks": "sanity checks",
    "judgements": "repeats",
    "samples": "EOT samples",
}


def _subject(path: tuple[str, ...]) -> str:
    """The name of a field, with its owner unless that is the recipe."""
    owner = path[-2] if len(path) > 1 else ""
    if path[-3:-2] == ("alternations",):  # then the owner is an arbitrary name
        owner = "alternation"
    field = _FIELDS.get(path[-1], path[-1])
    return f"{_OWNERS.get(owner, owner)} {field}".strip().replace("_", " ")


def _said(value: Any, path: tuple[str, ...] = ()) -> str:
    if value is None:
        return "by rho" if path[-1:] == ("weights",) else "all"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(_said, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
