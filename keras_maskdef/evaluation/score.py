"""An accuracy and how sure it is."""

from dataclasses import dataclass

from keras_maskdef._extra import require


@dataclass(frozen=True)
class Score:
    """Accuracy over some images.

    Args:
        accuracy: Float in [0, 1], mean over images (and over judgements of each).
        images: Integer, number of images.
    """

    accuracy: float
    images: int

    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval over images."""
        stats = require("scipy.stats", "attacks")
        right = round(self.accuracy * self.images)
        bounds = stats.binomtest(right, self.images).proportion_ci(method="wilson")
        return float(bounds.low), float(bounds.high)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{100 * self.accuracy:.1f} ({100 * low:.0f}-{100 * high:.0f})"
