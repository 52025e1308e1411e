"""The papers' tables: their attacks and their figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from keras_maskdef.papers import _mad_figures as mad
from keras_maskdef.papers import _sfm_figures as sfm


@dataclass(frozen=True)
class PaperRow:
    """One attack of a table and its figures.

    Args:
        attack: Name of the attack in `keras_maskdef.attacks`.
        norm: `"l1"`, `"l2"` or `"linf"`.
        epsilon: Perturbation budget, for images in [0, 1].
        library: Library of the attack.
        figures: The paper's accuracy under it, from 0 to 1, by column of the table;
            None if unknown.
        options: Options that differ from the library's defaults.

    Returns:
        A frozen record.

    Example:

    >>> row = TABLES["sfm/table2-cifar10"].rows[-1]
    >>> row.attack, row.options["binary_search_steps"], row.figures["SFM-Defense"]
    ('cw', 5, 0.849)
    """

    attack: str
    norm: str
    epsilon: float
    library: str
    figures: Mapping[str, float | None] = field(hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Args:
        name: Its key in `TABLES`.
        title: Its name in the paper.
        dataset: A name of `keras_maskdef.datasets`.
        architecture: A name of `keras_maskdef.architectures`.
        threat_model: What the attacker knows: `"classifier"` for the base model,
            `"gray_box"` for the masker too, `"white_box"` for the whole defence,
            `"surrogate"` for another classifier only.
        columns: Names of its columns, in the paper's order.
        rows: Its attacks.
        clean: The paper's accuracy without an attack, from 0 to 1, by column; None if
            unknown.
        undefended: The column of the attacked model without its defence; None if the
            table has none.
        defended: The column of the paper's defence with the recommended setting; None
            if the table has none.

    Returns:
        A frozen record.

    Example:

    >>> table = TABLES["mad/table1-mask-rates"]
    >>> table.architecture, table.columns, table.defended
    ('vgg16', ('0', '1/3', '1/2', '3/4', '4/5'), '3/4')
    >>> table.clean["3/4"], table.rows[0].figures["3/4"]
    (0.8265, 0.8263)
    """

    name: str
    title: str
    dataset: str
    architecture: str
    threat_model: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    clean: Mapping[str, float | None] = field(hash=False)
    undefended: str | None = None
    defended: str | None = None


# SFM-Defense, section 6.1 (3). The paper gives no steps for Diverse; PGD's are used.
_STEPS = MappingProxyType({"steps": 30, "step_size": 1 / 255})
_CW = MappingProxyType({"binary_search_steps": 5, "steps": 20, "initial_const": 0.1})
_SFM_OPTIONS = {"pgd": _STEPS, "mim": _STEPS, "diverse": _STEPS, "cw": _CW}
_LIBRARIES = {"mim": "cleverhans", "diverse": "keras_maskdef"}
# The paper gives no epsilon for CW. Images of 64 x 64 x 3 are never this far apart.
UNCUT = 128.0

_BOXES = {"surrogate": "black", "gray_box": "gray", "white_box": "white"}
_NAMES = {"svhn_cropped": "svhn", "tiny_imagenet": "tiny-imagenet"}

_Figures = Mapping[str, float | None]


def _mad(
    name: str,
    text: str,
    undefended: str | None,
    defended: str,
    dataset: str = "cifar10",
    architecture: str = "vgg16",
) -> PaperTable:
    """A table of MAD: foolbox's defaults, on images classified correctly before."""
    return PaperTable(
        f"mad/table{name}",
        f"MAD, Table {name[0]}: {architecture} on {dataset}",
        dataset,
        architecture,
        "classifier",
        *_parse(text, {}),
        undefended,
        defended,
    )


def _sfm(
    number: int, threat_model: str, dataset: str, text: str, undefended: str | None
) -> PaperTable:
    return PaperTable(
        f"sfm/table{number}-{_NAMES.get(dataset, dataset)}",
        f"SFM-Defense, Table {number}: {_BOXES[threat_model]} box on {dataset}",
        dataset,
        "resnet50" if dataset == "tiny_imagenet" else "resnet18",
        threat_model,
        *_parse(text, _SFM_OPTIONS),
        undefended,
        "SFM-Defense",
    )


def _parse(
    text: str, options: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[str, ...], tuple[PaperRow, ...], _Figures]:
    """Parses a block of text into columns, rows and clean figures."""
    header, clean, *lines = [line.split() for line in text.strip().splitlines()]
    columns = tuple(name.replace("_", " ") for name in header[3:])
    rows = []
    for attack, norm, size, *percents in lines:
        epsilon = UNCUT if size == "-" else float(Fraction(size))
        library = _LIBRARIES.get(attack, "foolbox")
        figures, row_options = _shares(columns, percents), options.get(attack, {})
        rows.append(PaperRow(attack, norm, epsilon, library, figures, row_options))
    return columns, tuple(rows), _shares(columns, clean[3:])


def _shares(columns: tuple[str, ...], percents: list[str]) -> _Figures:
    shares = [None if p == "-" else round(float(p) / 100, 4) for p in percents]
    return MappingProxyType(dict(zip(columns, shares, strict=True)))


_ALL = (
    # Column 0 of Table 1 is not the network that was attacked. The attacked networks
    # have no undefended column in Tables 1, 3 and 6.
    _mad("1-mask-rates", mad.MASK_RATES, None, "3/4"),
    _mad("2-masked-phases", mad.MASKED_PHASES, "training", "both"),
    _mad("3-grid-sizes", mad.GRID_SIZES, None, "8 and 4"),
    _mad("4-vgg16-cifar10", mad.VGG16, "attack", "defence"),
    _mad("5-lenet-mnist", mad.LENET, "attack", "defence", "mnist", "lenet"),
    _mad(
        "5-resnet18-svhn", mad.RESNET18, "attack", "defence", "svhn_cropped", "resnet18"
    ),
    _mad("6-comparison", mad.COMPARISON, None, "MAD"),
    _sfm(1, "surrogate", "cifar10", sfm.CIFAR10_BLACK, "Vanilla"),
    _sfm(2, "gray_box", "cifar10", sfm.CIFAR10_GRAY, "Vanilla"),
    _sfm(3, "surrogate", "svhn_cropped", sfm.SVHN_BLACK, "Vanilla"),
    _sfm(4, "gray_box", "svhn_cropped", sfm.SVHN_GRAY, "Vanilla"),
    _sfm(5, "surrogate", "tiny_imagenet", sfm.TINY_IMAGENET_BLACK, "Vanilla"),
    _sfm(6, "gray_box", "tiny_imagenet", sfm.TINY_IMAGENET_GRAY, "Vanilla"),
    _sfm(7, "white_box", "cifar10", sfm.CIFAR10_WHITE, None),
    _sfm(7, "white_box", "svhn_cropped", sfm.SVHN_WHITE, None),
    _sfm(7, "white_box", "tiny_imagenet", sfm.TINY_IMAGENET_WHITE, None),
)
TABLES: dict[str, PaperTable] = {table.name: table for table in _ALL}
