"""An accuracy with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_maskdef.core.intervals import wilson
from keras_maskdef.results.wording import percent_with_interval

Interval = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """Accuracy over some images.

    Args:
        accuracy: Float in [0, 1], mean over images and over the repeats of each.
        images: Integer, number of images.
        worst: Float in [0, 1]: the same where an image counts only if it is right in
            all repeats.
        conditional: Float in [0, 1]: mean over the images that the base model has right
            before the attack, which is how the MAD paper counts. `None` for no such
            images.
        conditional_images: Integer, number of these.
        votes: Accuracy with one view, two, and so on, where views vote.
    """

    accuracy: float
    images: int
    worst: float | None = None
    conditional: float | None = None
    conditional_images: int = 0
    votes: tuple[float, ...] | None = None

    def interval(self) -> Interval:
        """The 95 % Wilson interval of `accuracy` over images."""
        return wilson(self.accuracy, self.images)

    def worst_interval(self) -> Interval | None:
        """That of `worst`."""
        return None if self.worst is None else wilson(self.worst, self.images)

    def conditional_interval(self) -> Interval | None:
        """That of `conditional`, over `conditional_images`."""
        if self.conditional is None:
            return None
        return wilson(self.conditional, self.conditional_images)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, each fraction with its 95 % interval."""
        plain: dict[str, Any] = {
            "accuracy": self.accuracy,
            "images": self.images,
            "interval_95": list(self.interval()),
        }
        if self.worst is not None:
            plain["worst"] = self.worst
            plain["worst_interval_95"] = list(wilson(self.worst, self.images))
        if self.conditional is not None:
            count = self.conditional_images
            plain["conditional"] = self.conditional
            plain["conditional_images"] = count
            plain["conditional_interval_95"] = list(wilson(self.conditional, count))
        if self.votes is not None:
            plain["votes"] = list(self.votes)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Score":
        """The score that `to_dict` made plain; intervals are computed anew."""
        votes = plain.get("votes")
        return cls(
            plain["accuracy"],
            plain["images"],
            plain.get("worst"),
            plain.get("conditional"),
            plain.get("conditional_images", 0),
            None if votes is None else tuple(votes),
        )

    def __str__(self) -> str:
        return percent_with_interval(self.accuracy, self.interval())
