"""Draws learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_maskdef.reporting.figures import INK, LINES, RULE, new_figure, save


def plot_curves(
    history: Mapping[str, Sequence[float]], title: str, path: str | Path
) -> None:
    """Writes a PNG with the figures of each epoch.

    Losses are in the left panel; accuracies and other fractions, if there are any, in
    the right one.

    Args:
        history: Figures of each epoch by name, as in `fit(...).history`.
        title: Title of the picture.
        path: Where to write.
    """
    shown = {name: values for name, values in history.items() if name != "seconds"}
    losses = [name for name in shown if name.endswith("loss")]
    shares = [name for name in shown if _is_share(name)]
    panels = [(losses, "loss")] + ([(shares, "share")] if shares else [])
    figure, axes = new_figure(1, len(panels), (4.6 * len(panels), 3.4))
    for axis, (names, label) in zip(axes[0], panels, strict=True):
        for name, colour in zip(names, LINES, strict=False):
            values = shown[name]
            epochs = range(1, len(values) + 1)
            plain = name.replace("_", " ")
            axis.plot(epochs, values, color=colour, label=plain, marker="o", ms=3)
        axis.set_xlabel("epoch", color=INK)
        axis.set_ylabel(label, color=INK)
        axis.grid(color=RULE, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False, fontsize=8)
        if label == "share":
            axis.set_ylim(0, 1)
    figure.suptitle(title, color=INK, fontsize=11)
    figure.tight_layout()
    save(figure, path, dpi=120)


def _is_share(name: str) -> bool:
    return name.endswith(("accuracy", "density", "agreement"))
