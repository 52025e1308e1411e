"""An experiment of a paper, as data."""

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
    """What `--scale cpu` makes smaller; what is `None` stays.

    Args:
        networks: Fields of every `Network`, such as `{"width": 0.5, "epochs": 12}`.
        alternations: Fields of every `Alternation`.
        autoencoders: Fields of every `Autoencoder`.
        recipe: Fields of the recipe itself, such as `{"images": 500}`.
        columns: Headings of the columns that stay, where not all do.
    """

    networks: Mapping[str, Any] = field(default_factory=dict, hash=False)
    alternations: Mapping[str, Any] = field(default_factory=dict, hash=False)
    autoencoders: Mapping[str, Any] = field(default_factory=dict, hash=False)
    recipe: Mapping[str, Any] = field(default_factory=dict, hash=False)
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment: what is trained, what is done to it, and what a paper found.

    A kind of experiment is a subclass with a `run`.

    Args:
        name: Its key in `RECIPES`, the paper before the slash.
        title: What the paper calls it, and what it is about.
        dataset: A name of `keras_maskdef.datasets`.
        images: Test images.
        minutes: Expected at `--scale cpu` on two cores, trainings included.
        cpu: What `--scale cpu` cuts.
        not_run: Why no figures of it are published, if none are.
        seed: Integer for everything that is random in the evaluation.
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
        """Fails before hours of training, and not after them.

        Raises:
            ImportError: If a library is missing that the experiment needs.
        """

    def run(self, models: Any, store: RunFolder, start: Any) -> dict[str, Any]:
        """Does the experiment, or what is left of it.

        Args:
            models: `ModelCache`.
            store: Where to keep the work, and where a stopped run goes on.
            start: Starts a progress bar, see `keras_maskdef.core.progress`.

        Returns:
            Its figures as plain data.
        """
        raise NotImplementedError

    def trainings(self) -> list[Any]:
        """All that is trained for it, what others are trained from first."""
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
        """The same experiment, made smaller."""
        by_type = {
            Network: cuts.networks,
            Alternation: cuts.alternations,
            Autoencoder: cuts.autoencoders,
        }

        def smaller(value: Any) -> Any:
            return replace(value, **by_type.get(type(value), {}))

        return replace(_mapped(self, smaller), **cuts.recipe)

    def cuts(self) -> list[str]:
        """What `--scale cpu` cuts, one line each."""
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
        """Draws the figures of a run, where there is something to draw.

        Args:
            result: What `run` returned.
            path: Where to write a PNG.

        Returns:
            Whether it was written.
        """
        return False

    def plain(self) -> dict[str, Any]:
        """Its setting as plain data, without what it says of itself."""
        setting = asdict(self)
        for name in ("cpu", "minutes", "not_run"):
            del setting[name]
        return setting


def settings_of(value: Any) -> list[Any]:
    """All that is trained for a part of a recipe, each once."""
    found: list[Any] = []
    for setting in _settings(value):
        if setting not in found:
            found.append(setting)
    return found


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A dataclass whose parts, and the parts of those, are changed first."""
    if isinstance(value, Cuts):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _mapped(getattr(value, f.name), change) for f in fields(value)}
        return change(replace(value, **parts))
    if isinstance(value, Mapping):
        return {key: _mapped(each, change) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_mapped(each, change) for each in value)
    return value


def _settings(value: Any) -> Iterator[Any]:
    """Networks and what is trained from them, in that order."""
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
    for key, each in value.items():
        yield from _leaves(each, (*path, key))


_LIBRARY = "the library's"
_OWNERS = {
    "adaptive_options": "adaptive attack",
    "pretrained": "network",
    "surrogate": "network",
}


def _subject(path: tuple[str, ...]) -> str:
    """Whose field it is, where it is not the recipe's own."""
    owner = path[-2] if len(path) > 1 else ""
    if path[-3:-2] == ("alternations",):  # by name, in which there is no meaning
        owner = "alternation"
    return f"{_OWNERS.get(owner, owner)} {path[-1]}".strip().replace("_", " ")


def _said(value: Any, path: tuple[str, ...] = ()) -> str:
    if value is None:
        return "by rho" if path[-1:] == ("weights",) else "all"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(_said, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
