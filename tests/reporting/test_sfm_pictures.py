"""The pictures of SFM-Defense: what they show is read off matplotlib's own objects."""

import keras
import matplotlib.figure
import numpy as np
import pytest

import keras_maskdef as kmd
from keras_maskdef.reporting.pictures import (
    plot_alternation,
    plot_masks,
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
