"""A picture of certified accuracy against the size of the attack."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_maskdef.certification.certificates import Certificate, Certificates
from keras_maskdef.core.intervals import wilson
from keras_maskdef.reporting.figures import (
    LINES,
    MARKERS,
    RULE,
    finish,
    new_figure,
    plain,
)

_AXES = {
    "cells": "cells that an attack may change",
    "patch": "side of a patch anywhere, in pixels",
    "aligned_patch": "side of a patch on the grid, in pixels",
}


def plot_certificates(
    certificates: Certificates | Mapping[str, Certificates], path: str | Path
) -> None:
    """Writes curves of certified accuracy against the size of the attack, as PNG.

    One panel for each kind of attack. Lines with markers show certified accuracy, with
    its 95 % interval over images. Dotted lines show clean accuracy; dashed lines
    coverage (certified images, right or wrong), if it differs; dash-dotted lines
    abstentions, if there are any. Without labels, lines with markers show coverage.

    Args:
        certificates: Certificates, or several by name of their method or model.
        path: Where to write.

    Raises:
        ValueError: If the certificates differ in the number of images, or only some
            have labels.
        ImportError: If matplotlib is not installed.
    """
    named = certificates
    if isinstance(named, Certificates):
        named = {named.method.replace("_", " "): named}
    alike = {(len(c.views), c.labels is None) for c in named.values()}
    if len(alike) != 1:
        raise ValueError(
            "`certificates` must be of as many images, all with labels or all without. "
            f"Received: {[(name, len(c.views)) for name, c in named.items()]}"
        )
    threats = list(dict.fromkeys(t for c in named.values() for t in c.threats))
    size = (4.2 * len(threats), 3.6)
    figure, grid = new_figure(1, len(threats), size, "plots", sharey=True)
    for axis, threat in zip(grid[0], threats, strict=True):
        for number, (name, shown) in enumerate(named.items()):
            if threat in shown.threats:
                look = {"color": LINES[number % 6], "marker": MARKERS[number % 6]}
                _line(axis, plain(name), shown, shown.of(threat), look)
        axis.set_xlabel(_AXES[threat])
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axis.set_ylim(-2, 102)
        axis.grid(color=RULE)
        axis.spines[["top", "right"]].set_visible(False)
    images = len(next(iter(named.values())).views)
    labelled = next(iter(named.values())).labels is not None
    grid[0, 0].set_ylabel(
        f"{'certified accuracy' if labelled else 'coverage'} in %, {images:,} images"
    )
    finish(figure, grid[0, 0], Path(path))


def _line(
    axis: Any,
    name: str,
    certificates: Certificates,
    along: list[Certificate],
    look: dict[str, Any],
) -> None:
    figures = [certificate.figures(certificates.labels) for certificate in along]
    sizes = [certificate.size for certificate in along]
    if certificates.labels is None:
        heights = _percent(figures, "coverage")
    else:
        # Clean accuracy; double masking predicts differently for each size.
        clean = _percent(figures, "clean")
        heights = np.insert(_percent(figures, "certified"), 0, clean[0])
        clean, sizes = np.insert(clean, 0, clean[0]), [0, *sizes]
        _thin(axis, sizes, clean, look, ":", f"{name}, not attacked")
        coverage = _percent(figures, "coverage")
        if (coverage != heights[1:]).any():
            _thin(axis, sizes[1:], coverage, look, "--", f"{name}, coverage")
    abstained = _percent(figures, "abstained")
    if abstained.any():
        _thin(axis, sizes[-len(along) :], abstained, look, "-.", f"{name}, abstained")
    images = len(certificates.views)
    low, high = 100 * np.transpose([wilson(height / 100, images) for height in heights])
    axis.plot(sizes, heights, ms=4, lw=1.6, label=name, **look)
    axis.fill_between(sizes, low, high, color=look["color"], alpha=0.15, lw=0)


def _thin(
    axis: Any,
    sizes: list[int],
    heights: np.ndarray,
    look: dict[str, Any],
    dashes: str,
    name: str,
) -> None:
    axis.plot(sizes, heights, color=look["color"], ls=dashes, lw=1.1, label=name)


def _percent(figures: list[dict[str, float | None]], name: str) -> np.ndarray:
    return 100 * np.array([row[name] for row in figures], float)
