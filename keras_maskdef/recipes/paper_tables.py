"""The papers' tables, as the experiments that gave them and what they gave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class PaperRow:
    """One attack of a table and two of its figures.

    Args:
        attack: Name of the attack in `keras_maskdef.attacks`.
        norm: `"l1"`, `"l2"` or `"linf"`.
        epsilon: Size of the perturbation, for images in [0, 1].
        library: Where the attack comes from.
        options: Options of the attack; none are the library's defaults.
        attack_accuracy: The paper's accuracy without a defence, from 0 to 1.
        defence_accuracy: The paper's accuracy with its defence, from 0 to 1.

    Returns:
        A frozen record.

    Example:

    >>> row = TABLES["sfm/table2-cifar10"].rows[-1]
    >>> row.attack, row.options["binary_search_steps"], row.defence_accuracy
    ('cw', 5, 0.849)
    """

    attack: str
    norm: str
    epsilon: float
    library: str
    attack_accuracy: float
    defence_accuracy: float
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Args:
        name: Its key in `TABLES`.
        title: What the paper calls it.
        dataset: A name of `keras_maskdef.datasets`.
        architecture: A name of `keras_maskdef.architectures`.
        threat_model: What the attacker knows: `"classifier"` for the bare classifier,
            `"gray_box"` for the masker too, `"surrogate"` for another classifier only.
        rows: Its attacks.
        clean_accuracy: The paper's accuracy of the defence without an attack.

    Returns:
        A frozen record.

    Example:

    >>> TABLES["mad/table5-lenet-mnist"].architecture
    'lenet'
    """

    name: str
    title: str
    dataset: str
    architecture: str
    threat_model: str
    rows: tuple[PaperRow, ...]
    clean_accuracy: float


# Attack, norm, size, accuracy in percent without and with MAD: Table 4.
_MAD_VGG16 = """
fgsm     l1   15    35.48 82.63
fgsm     l1   20    33.02 79.25
fgsm     l2   0.3   38.29 84.62
fgsm     l2   0.4   35.27 81.89
fgsm     linf 0.01  33.02 81.05
fgsm     linf 0.02  28.27 68.77
bim      l1   10    10.23 84.71
bim      l1   15     6.70 80.91
bim      l2   0.3    9.43 83.21
bim      l2   0.4    8.06 80.88
bim      linf 0.01   3.16 81.80
bim      linf 0.015  1.06 77.06
pgd      l1   15     8.75 85.44
pgd      l1   20     6.36 83.48
pgd      l2   0.3   12.47 86.42
pgd      l2   0.4    9.01 84.45
pgd      linf 0.01   6.13 84.78
pgd      linf 0.015  2.30 81.45
cw       l2   1     15.89 91.28
deepfool l2   0.6   34.64 84.20
deepfool l2   0.8   31.81 81.19
deepfool linf 0.01  35.72 85.23
deepfool linf 0.015 32.26 80.44
"""

# Table 5, on the left.
_MAD_LENET = """
fgsm     l1   10    44.12 68.94
fgsm     l1   20    28.35 49.50
fgsm     l2   0.8   34.85 58.60
fgsm     l2   1.0   30.28 52.82
fgsm     linf 0.03  36.26 61.82
fgsm     linf 0.04  28.58 50.31
bim      l1   4      8.98 59.49
bim      l1   6      2.26 44.17
bim      l2   0.2   16.55 69.23
bim      l2   0.3    3.79 49.04
bim      linf 0.015 11.72 70.94
bim      linf 0.02   3.62 56.33
pgd      l1   4     16.04 71.79
pgd      l1   6      3.37 54.75
pgd      l2   0.2   22.98 77.87
pgd      l2   0.4    1.26 48.85
pgd      linf 0.015 11.64 70.90
pgd      linf 0.02   3.27 56.38
cw       l2   1.5    0.20 93.39
deepfool l2   0.6   32.62 61.05
deepfool l2   0.8   26.49 51.39
deepfool linf 0.05  24.77 47.26
deepfool linf 0.07  22.50 39.76
"""

# Table 5, on the right.
_MAD_RESNET18 = """
fgsm     l1   15    50.47 76.84
fgsm     l1   20    45.85 70.25
fgsm     l2   0.4   53.17 80.40
fgsm     l2   0.6   46.77 71.48
fgsm     linf 0.01  57.12 85.40
fgsm     linf 0.02  46.06 68.95
bim      l1   10    15.46 80.37
bim      l1   12    11.54 75.85
bim      l2   0.25  21.75 84.40
bim      l2   0.3   16.59 81.37
bim      linf 0.01  16.06 86.31
bim      linf 0.02   2.58 71.00
pgd      l1   14    15.09 84.14
pgd      l1   16    12.11 82.35
pgd      l2   0.4   16.40 84.22
pgd      l2   0.5   12.17 81.37
pgd      linf 0.01  10.10 84.45
pgd      linf 0.02   4.69 80.51
cw       l2   1.8   21.70 96.05
deepfool l2   0.5   59.78 87.09
deepfool l2   0.7   53.87 82.22
deepfool linf 0.01  57.10 88.06
deepfool linf 0.02  46.39 72.98
"""

# SFM-Defense, section 6.1 (3).
_STEPS = MappingProxyType({"steps": 30, "step_size": 1 / 255})
_CW = MappingProxyType({"binary_search_steps": 5, "steps": 20, "initial_const": 0.1})
_SFM_LIBRARIES = {"mim": "cleverhans", "diverse": "keras_maskdef"}
# The paper gives CW no size. No two images of 32 x 32 x 3 are as far apart as this.
UNCUT = 100.0


def _mad(
    name: str, number: int, dataset: str, architecture: str, rows: str, clean: float
) -> PaperTable:
    """Adversarial images of foolbox's defaults, of images first classified right."""
    return PaperTable(
        name,
        f"MAD, Table {number}: {architecture} on {dataset}",
        dataset,
        architecture,
        "classifier",
        tuple(_mad_row(*line.split()) for line in rows.strip().splitlines()),
        clean,
    )


def _mad_row(attack: str, norm: str, size: str, bare: str, defended: str) -> PaperRow:
    without, with_mad = (round(float(each) / 100, 4) for each in (bare, defended))
    return PaperRow(attack, norm, float(size), "foolbox", without, with_mad)


def _sfm(number: int, threat_model: str, *rows: PaperRow) -> PaperTable:
    box = {"surrogate": "black", "gray_box": "gray"}[threat_model]
    return PaperTable(
        f"sfm/table{number}-cifar10",
        f"SFM-Defense, Table {number}: {box} box on cifar10",
        "cifar10",
        "resnet18",
        threat_model,
        rows,
        0.862,
    )


def _linf(attack: str, levels: int, bare: float, defended: float) -> PaperRow:
    library = _SFM_LIBRARIES.get(attack, "foolbox")
    options = {} if attack == "fgsm" else _STEPS
    return PaperRow(attack, "linf", levels / 255, library, bare, defended, options)


_ALL = (
    _mad("mad/table4-vgg16-cifar10", 4, "cifar10", "vgg16", _MAD_VGG16, 0.8265),
    _mad("mad/table5-lenet-mnist", 5, "mnist", "lenet", _MAD_LENET, 0.9613),
    _mad(
        "mad/table5-resnet18-svhn", 5, "svhn_cropped", "resnet18", _MAD_RESNET18, 0.9165
    ),
    _sfm(
        1,
        "surrogate",
        _linf("pgd", 8, 0.348, 0.646),
        _linf("pgd", 16, 0.213, 0.403),
        _linf("mim", 8, 0.244, 0.597),
        _linf("mim", 16, 0.122, 0.333),
        _linf("diverse", 8, 0.208, 0.551),
        _linf("diverse", 16, 0.104, 0.313),
    ),
    _sfm(
        2,
        "gray_box",
        _linf("fgsm", 8, 0.142, 0.568),
        _linf("fgsm", 16, 0.118, 0.342),
        _linf("pgd", 8, 0.072, 0.515),
        _linf("pgd", 16, 0.068, 0.347),
        PaperRow("cw", "l2", UNCUT, "foolbox", 0.082, 0.849, _CW),
    ),
)
TABLES: dict[str, PaperTable] = {table.name: table for table in _ALL}
