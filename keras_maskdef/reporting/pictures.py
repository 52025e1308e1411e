"""Pictures of masks, votes and training curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_maskdef.attacks.inputs import check_image_values
from keras_maskdef.core.image_data import check_labels
from keras_maskdef.core.value_range import UNIT, check_value_range, to_unit
from keras_maskdef.inspection.agreement import check_value_ranges
from keras_maskdef.inspection.structure import as_filters
from keras_maskdef.layers import (
    RandomGridMask,
    SparseFeatureMasker,
    VotingEnsemble,
)
from keras_maskdef.reporting.figures import (
    HIDDEN,
    above,
    beside,
    new_figure,
    plain,
    save,
    show,
    verdict,
    write,
)

_SEEN = {"color": "#0072B2", "marker": "o", "label": "training images"}
_HELD = {"color": "#D55E00", "marker": "s", "ls": "--", "label": "held-out images"}
# Logged figures of `AlternatingTraining`: title and axis label.
_CURVES = {
    "sparsity": ("sparsity loss", "L1 norm of what is left"),
    "semantic": ("semantic loss", "1 - cosine similarity"),
    "reconstruction": ("reconstruction loss", "L2 norm of what is lost"),
    "density": ("density of the mask", "mean of the mask"),
    "agreement": ("agreement under the mask", "fraction of images"),
}


def plot_votes(
    defence: VotingEnsemble,
    images: np.ndarray,
    adversarial: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    path: str | Path,
    value_range: Sequence[float] = UNIT,
) -> None:
    """Writes a PNG of images, their adversarial images, and the views that vote.

    Args:
        defence: The vote that predicts the adversarial images, once.
        images: Original images, floats `(n, height, width, channels)` in `value_range`.
        adversarial: Their adversarial images, of the same shape and range.
        labels: Integers `(n,)`, the true classes.
        class_names: Name of each class.
        path: Where to write.
        value_range: The lowest and the highest value of the images.

    Raises:
        ValueError: For images outside `value_range`, or labels without a name.
        ImportError: If matplotlib is not installed.
    """
    checked_range = check_value_range(value_range)
    originals = to_unit(check_image_values(images, checked_range), checked_range)
    adversarial = check_image_values(adversarial, checked_range)
    labels = check_labels(labels, len(originals), len(class_names))
    attacked = to_unit(adversarial, checked_range)
    keep = defence.mask.sample(adversarial, views=defence.votes)
    views = _drawn(defence.mask, attacked, keep)
    logits = defence.logits_of_views(adversarial, keep)
    ballots = _classes(logits)
    verdicts = _classes(defence.pool_logits(logits))
    fooled = _classes(defence.classifier(adversarial, training=False))
    columns = 2 + defence.votes + 1
    figure, axes = new_figure(len(images), columns, (1.5 * columns, 1.8 * len(images)))
    for row, (cells, label) in enumerate(zip(axes, labels, strict=True)):
        show(cells[0], originals[row], plain(class_names[label]), "#333333")
        show(cells[1], attacked[row], *verdict(class_names, fooled[row], label))
        for number in range(defence.votes):
            text = verdict(class_names, ballots[number, row], label)
            show(cells[2 + number], views[number, row], *text)
        write(cells[-1], *verdict(class_names, verdicts[row], label))
    headings = ["original", "attacked", *("view",) * defence.votes, "vote"]
    for axis, heading in zip(axes[0], headings, strict=True):
        above(axis, heading)
    save(figure, path, bbox_inches="tight")


def plot_masks(
    masker: SparseFeatureMasker, filters: Any, images: np.ndarray, path: str | Path
) -> None:
    """Writes a PNG of images, their masks, and the masked and filtered images.

    As Figure 4 of the SFM-Defense paper: one column for each image. The rows are the
    image, the mask with its density (white is kept), the masked image, and the masked
    and filtered image.

    Args:
        masker: The masker, trained or not.
        filters: Filter layer, or a sequence of them; without one the row is left out.
        images: Floats `(n, height, width, channels)` in the masker's `value_range`,
            with 1 or 3 channels.
        path: Where to write.

    Raises:
        ValueError: For images outside the masker's range, or filters of another range.
        TypeError: For `filters` that are not Keras layers.
        ImportError: If matplotlib is not installed.
    """
    filters = as_filters("filters", filters)
    check_value_ranges([masker, *filters])
    images = check_image_values(images, masker.value_range)
    filtered = masked = masker(images, training=False)
    for layer in filters:
        filtered = layer(filtered)

    def drawn(shown: Any) -> np.ndarray:
        return to_unit(keras.ops.convert_to_numpy(shown), masker.value_range)

    rows = {
        "original": drawn(images),
        "mask": keras.ops.convert_to_numpy(masker.mask(images, training=False)),
        "masked": drawn(masked),
        "and filtered": drawn(filtered),
    }
    if not filters:
        del rows["and filtered"]
    size = (1.3 * len(images) + 1, 1.45 * len(rows))
    figure, axes = new_figure(len(rows), len(images), size)
    for cells, (name, shown) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(cells, shown, strict=True):
            title = f"density {image.mean():.2f}" if name == "mask" else ""
            show(axis, np.clip(image, 0, 1), title, "#333333", fontsize=9)
        beside(cells[0], name)
    save(figure, path, bbox_inches="tight")


def plot_alternation(history: Mapping[str, Sequence[float]], path: str | Path) -> None:
    """Writes the curves of an `AlternatingTraining` as PNG, one panel each.

    The panels show the three losses without their weights, the mask's density and the
    agreement, on the training images. With `validation_data` they also show the
    held-out images, and a panel shows the accuracy of the defended model on these.

    Args:
        history: `fit(...).history` of the classifier.
        path: Where to write.

    Raises:
        ValueError: For the history of a `fit` without `AlternatingTraining`.
        ImportError: If matplotlib is not installed.
    """
    missing = [name for name in _CURVES if f"masker_{name}" not in history]
    if missing:
        raise ValueError(
            "`history` must be of a `fit` with `AlternatingTraining`. Received: "
            f"history of {sorted(history)}, without masker_{missing[0]}"
        )
    figure, axes = new_figure(2, 3, (9.5, 5))
    panels = axes.flatten()
    for axis, (name, (title, unit)) in zip(panels, _CURVES.items(), strict=False):
        for key, style in ((f"masker_{name}", _SEEN), (f"val_masker_{name}", _HELD)):
            _curve(axis, history.get(key), style)
        axis.set_title(title, fontsize=11)
        axis.set_ylabel(unit)
    accuracy = history.get("val_defended_accuracy")
    _curve(panels[-1], accuracy, _HELD)
    panels[-1].set_title("accuracy of the defended model", fontsize=11)
    panels[-1].set_ylabel("fraction of images")
    panels[-1].set_visible(accuracy is not None)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.tight_layout()
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0)}
    figure.legend(handles, labels, ncols=2, frameon=False, **where)
    save(figure, path, bbox_inches="tight")


def _classes(outputs: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(outputs).argmax(-1)


def _drawn(mask: RandomGridMask, images: np.ndarray, keep: Any) -> np.ndarray:
    """Masked views with hidden cells in grey, since images have black pixels too."""
    grey = RandomGridMask.from_config({**mask.get_config(), "fill_value": HIDDEN})
    return keras.ops.convert_to_numpy(grey.apply(images, keep))


def _curve(axis: Any, values: Sequence[float] | None, style: dict[str, Any]) -> None:
    """Draws a curve if there are values; epochs without a pass hold NaN."""
    if values is None:
        return
    epochs = np.arange(1, len(values) + 1)
    axis.plot(epochs, values, markersize=4, **style)
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axis.spines[["top", "right"]].set_visible(False)
