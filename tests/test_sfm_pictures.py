"""The pictures of SFM-Defense: what they show is read off matplotlib's own objects."""

import json
from pathlib import Path

import keras
import matplotlib.figure
import numpy as np
import pytest

import keras_maskdef as kmd
from keras_maskdef.evaluation.report import Report, Row
from keras_maskdef.evaluation.score import Score
from keras_maskdef.papers.sfm_report import SFM, TITLES
from keras_maskdef.reporting.pictures import (
    plot_alternation,
    plot_masks,
    plot_sweep,
)

TERMS = ("sparsity", "semantic", "reconstruction", "density", "agreement")


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved."""
    saved = []
    save = matplotlib.figure.Figure.savefig

    def recorded(figure, *arguments, **options):
        saved.append(figure)
        return save(figure, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", recorded)
    return saved


@pytest.mark.parametrize("channels", [1, 3])
def test_masks(figures, tmp_path, channels):
    images = np.random.default_rng(0).random((3, 8, 8, channels)).astype("float32")
    network = keras.layers.Conv2D(1, 1, activation="sigmoid")
    masker, median = kmd.SparseFeatureMasker(network), kmd.MedianFilter(2)
    plot_masks(masker, median, images, tmp_path / "masks.png")
    shown = [axis.get_images()[0].get_array() for axis in figures[0].axes]
    mask = masker.mask(images).numpy()
    rows = (images, mask, images * mask, median(images * mask).numpy())
    expected = [image.squeeze() for row in rows for image in row]
    for seen, wanted in zip(shown, expected, strict=True):
        np.testing.assert_allclose(seen, wanted, atol=1e-6)
    assert f"density {mask[0].mean():.2f}" in [a.get_title() for a in figures[0].axes]
    plot_masks(masker, None, images, tmp_path / "masks.png")
    assert len(figures[1].axes) == 9


def test_alternation(figures, tmp_path):
    history = {f"masker_{name}": [np.nan, 1.0, 2.0] for name in TERMS}
    plot_alternation(history, tmp_path / "alternation.png")
    history |= {f"val_masker_{name}": [np.nan, 3.0, 4.0] for name in TERMS}
    history["val_defended_accuracy"] = [np.nan, 0.5, 0.75]
    plot_alternation(history, tmp_path / "alternation.png")
    lines = [
        [list(line.get_ydata()) for line in a.get_lines()] for a in figures[1].axes
    ]
    assert [len(panel) for panel in lines] == [2, 2, 2, 2, 2, 1]
    np.testing.assert_array_equal(lines[5][0], [np.nan, 0.5, 0.75])
    assert [len(a.get_lines()) for a in figures[0].axes] == [1, 1, 1, 1, 1, 0]
    assert not figures[0].axes[5].get_visible()
    with pytest.raises(ValueError, match=r"`history` must be .*Received"):
        plot_alternation({"loss": [1.0]}, tmp_path / "alternation.png")


def swept(accuracy, density, attacks=("clean", "pgd")):
    """One rho of `benchmarks/sfm_cifar10.py`: a saved report and its history."""
    columns = {"plain": Score(0.0, 50), "masked": Score(accuracy, 50)}
    rows = [Row(attack, None, None, attack, columns) for attack in attacks]
    history = {"masker_density": [0.9, density]}
    return {"history": history, **json.loads(json.dumps(Report(rows, []).to_dict()))}


def test_sweep(figures, tmp_path):
    sweep = {"1.3": swept(0.26, 0.25), "1.05": swept(0.5, 0.75)}
    plot_sweep(sweep, "masked", tmp_path / "sweep.png")
    (axis,) = figures[0].axes
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == ["1.05\ndensity 0.75", "1.3\ndensity 0.25"]
    assert axis.get_legend_handles_labels()[1] == ["clean", "pgd"]
    heights = [list(c.lines[0].get_ydata()) for c in axis.containers]
    np.testing.assert_allclose(heights, [[50, 26], [50, 26]])
    low, high = axis.containers[0].lines[2][0].get_segments()[0][:, 1] / 100
    np.testing.assert_allclose((low, high), Score(0.5, 50).interval())


@pytest.mark.parametrize(
    ("sweep", "defence", "message"),
    [
        ({}, "masked", "`defence` as a column. Received: defence='masked'"),
        ({"1.1": swept(0.5, 0.5)}, "gray", r"rho \['1.1'\] with \['masked', 'plain'\]"),
        (
            {"1.1": swept(0.5, 0.5), "1.3": swept(0.5, 0.5, attacks=("clean",))},
            "masked",
            "the same attacks. Received: .*'1.3': \\['clean'\\]",
        ),
    ],
)
def test_sweeps_that_cannot_be_drawn(sweep, defence, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plot_sweep(sweep, defence, tmp_path / "sweep.png")
    assert not list(tmp_path.iterdir())


def test_published_sweep(figures, tmp_path):
    """What the benchmark wrote is what the picture reads."""
    published = Path(__file__).parents[1] / "benchmarks/results/sfm-cifar10.json"
    sweep = json.loads(published.read_text())["sweep"]
    plot_sweep(sweep, SFM, tmp_path / "sweep.png")
    (axis,) = figures[0].axes
    assert axis.get_legend_handles_labels()[1] == list(TITLES.values())
    assert len(axis.get_xticks()) == len(sweep)
