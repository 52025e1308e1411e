"""Certificates, by attack and image."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from keras_maskdef.certification.exact import ABSTAINS
from keras_maskdef.core.checked_files import Arrays, Form, check_arrays, read_json
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.intervals import wilson

SCHEMA = 1
_TITLES = {
    "cells": "any {} cells",
    "patch": "any patch of {} pixels",
    "aligned_patch": "a patch of {} pixels on the grid",
}


def title_of(threat: str, first: int, last: int) -> str:
    """The title of an attack, or of several attacks of neighbouring sizes."""
    sizes = [str(n) if threat == "cells" else f"{n}x{n}" for n in (first, last)]
    title = _TITLES[threat].format(" to ".join(dict.fromkeys(sizes)))
    return "any cell" if title == "any 1 cells" else title


@dataclass(frozen=True)
class Certificate:
    """What is proven against attacks of one threat and size.

    Args:
        threat: `"cells"`, `"patch"` or `"aligned_patch"`.
        size: Number of cells, or the side of the patch in pixels.
        predicted: Integers `(images,)`: the predicted classes, -1 for abstentions.
        certified: Booleans `(images,)`: whether no such attack can change the class.
    """

    threat: str
    size: int
    predicted: np.ndarray
    certified: np.ndarray

    @property
    def title(self) -> str:
        return title_of(self.threat, self.size, self.size)

    def figures(self, labels: np.ndarray | None) -> dict[str, float | None]:
        """Shares of all images; without labels, `clean` and `certified` are `None`.

        `clean`: predicted right. `certified`: predicted right, and proven to stay so.
        `coverage`: proven, right or wrong. `abstained`: no prediction.

        Args:
            labels: Integers `(images,)`: the true classes, or `None`.

        Raises:
            ValueError: For labels of another shape or dtype, or below 0.
        """
        shares: dict[str, float | None] = {"clean": None, "certified": None}
        if labels is not None:
            right = self.predicted == check_labels(labels, len(self.predicted))
            shares["clean"] = float(right.mean())
            shares["certified"] = float((right & self.certified).mean())
        shares["coverage"] = float(self.certified.mean())
        shares["abstained"] = float((self.predicted == ABSTAINS).mean())
        return shares


@dataclass(frozen=True)
class Certificates:
    """Proofs for a set of images. They print as a table under rich.

    Args:
        method: The method of `certify`.
        alpha: The largest probability, for each image, that any of its certificates is
            wrong; `None` for methods without chance.
        certificates: One for each attack.
        views: Integers `(images,)`: how many masked views the classifier predicted.
        labels: The true classes, `(images,)`, or `None`.
        notes: What a reader must know to read the figures.
        settings: Mask, seeds, versions and numbers of the run.

    Raises:
        ValueError: For labels that are not one integer from 0 for each image.
    """

    method: str
    alpha: float | None
    certificates: tuple[Certificate, ...]
    views: np.ndarray
    labels: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels is not None:
            labels = check_labels(self.labels, len(self.views))
            object.__setattr__(self, "labels", labels)

    def __getitem__(self, attack: tuple[str, int]) -> Certificate:
        """The certificate against `(threat, size)`."""
        for certificate in self.certificates:
            if (certificate.threat, certificate.size) == tuple(attack):
                return certificate
        attacks = [(row.threat, row.size) for row in self.certificates]
        raise KeyError(f"no certificate against {attack!r}; there are {attacks}")

    @property
    def threats(self) -> list[str]:
        return list(dict.fromkeys(row.threat for row in self.certificates))

    def of(self, threat: str) -> list[Certificate]:
        """The certificates against one threat, by rising size."""
        matching = [row for row in self.certificates if row.threat == threat]
        return sorted(matching, key=lambda row: row.size)

    def largest(self, threat: str = "cells") -> np.ndarray:
        """The largest size against which each image is certified, with all sizes below.

        Returns:
            Integers `(images,)`, 0 for none.
        """
        certified = np.stack([certificate.certified for certificate in self.of(threat)])
        sizes = np.array([0, *(certificate.size for certificate in self.of(threat))])
        return sizes[np.logical_and.accumulate(certified).sum(axis=0)]

    def to_dict(self, per_image: bool = True) -> dict[str, Any]:
        """Plain data: every figure with its 95 % interval.

        Args:
            per_image: Whether to include the results for each image.
        """
        plain = {
            "schema": SCHEMA,
            "method": self.method,
            "alpha": self.alpha,
            "images": len(self.views),
            "mean_views": float(self.views.mean()),
            "settings": self.settings,
            "rows": [self._row(row, per_image) for row in self.certificates],
            "notes": list(self.notes),
        }
        if per_image:
            plain["labels"] = None if self.labels is None else self.labels.tolist()
            plain["views"] = self.views.tolist()
        return plain

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` as JSON."""
        Path(path).write_text(json.dumps(self.to_dict()) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Certificates":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            OSError: If it is damaged; the error names the place.
        """
        plain = read_json(Path(path), "certificates")
        arrays = _arrays(Path(path), plain)
        certificates = tuple(
            Certificate(
                row["threat"],
                row["size"],
                arrays[f"rows[{number}].predicted_classes"],
                arrays[f"rows[{number}].certified_images"].astype(bool),
            )
            for number, row in enumerate(plain["rows"])
        )
        return cls(
            plain["method"],
            plain["alpha"],
            certificates,
            arrays["views"],
            arrays.get("labels"),
            tuple(plain["notes"]),
            plain["settings"],
        )

    def __rich__(self) -> Table:
        table = Table(
            title=Text(
                f"Accuracy certified by {self.method.replace('_', ' ')}, in % of "
                f"{len(self.views):,} images with its 95 % interval",
                "table.title",
            ),
            caption=Text("\n".join(self.notes)),
            caption_justify="left",
        )
        table.add_column("no change of", overflow="fold", min_width=18)
        figures = self.certificates[0].figures(self.labels)
        names = [name for name, share in figures.items() if share is not None]
        for name in names:
            table.add_column(name, justify="right")
        for threat in self.threats:
            table.add_section()
            for first, last in self._runs(threat):
                shares = first.figures(self.labels)
                table.add_row(
                    title_of(threat, first.size, last.size),
                    *(self._percent(name, shares[name]) for name in names),
                )
        return table

    def _runs(self, threat: str) -> Sequence[tuple[Certificate, Certificate]]:
        """Joins neighbouring sizes with the same proofs into one row."""
        runs: list[tuple[Certificate, Certificate]] = []
        for certificate in self.of(threat):
            if runs and self._same(runs[-1][1], certificate):
                runs[-1] = (runs[-1][0], certificate)
            else:
                runs.append((certificate, certificate))
        return runs

    @staticmethod
    def _same(one: Certificate, other: Certificate) -> bool:
        return np.array_equal(one.certified, other.certified) and np.array_equal(
            one.predicted, other.predicted
        )

    def _percent(self, name: str, share: float | None) -> str:
        assert share is not None
        if name == "abstained":
            return f"{100 * share:.1f}"
        low, high = wilson(share, len(self.views))
        return f"{100 * share:.1f} ({100 * low:.0f}-{100 * high:.0f})"

    def _row(self, certificate: Certificate, per_image: bool) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "threat": certificate.threat,
            "size": certificate.size,
            "title": certificate.title,
        }
        for name, share in certificate.figures(self.labels).items():
            plain[name] = share
            bounds = None if share is None else list(wilson(share, len(self.views)))
            plain[f"{name}_interval_95"] = bounds
        if per_image:
            plain["predicted_classes"] = certificate.predicted.tolist()
            plain["certified_images"] = certificate.certified.astype(int).tolist()
        return plain


def _arrays(path: Path, plain: dict[str, Any]) -> Arrays:
    """The results for each image, by their place in the file."""
    images, most = (len(plain["views"]),), float(2**31 - 1)
    lists = {"views": plain["views"]}
    forms = {"views": Form("i", images, 1, 2.0**62)}
    if plain["labels"] is not None:
        lists["labels"] = plain["labels"]
        forms["labels"] = Form("i", images, 0, most)
    for number, row in enumerate(plain["rows"]):
        for name, low, high in (
            ("predicted_classes", ABSTAINS, most),
            ("certified_images", 0, 1),
        ):
            lists[f"rows[{number}].{name}"] = row[name]
            forms[f"rows[{number}].{name}"] = Form("i", images, low, high)
    arrays = {name: np.array(values) for name, values in lists.items()}
    return check_arrays(path, arrays, forms)
