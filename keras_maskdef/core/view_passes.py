"""Limits of the views of a vote, in all and in one pass of the classifier."""

from keras_maskdef.core.arguments import check_int, check_positive_int

# A model from a file may ask for any number. More views would settle no further vote:
# with these the share of a class is known to 0.5 %.
MOST_VIEWS = 10_000
# Views in a pass by default; for 32 images of a LeNet they take 0.2 GiB.
_AT_ONCE = 128


def check_views(name: str, value: int) -> int:
    """Checks a number of views, or of EOT samples of an attack."""
    return check_int(name, value, 1, MOST_VIEWS)


def check_views_per_pass(value: int | None) -> int | None:
    return None if value is None else check_positive_int("votes_per_pass", value)


def views_at_once(views: int, wanted: int | None) -> int:
    """Number of views in one pass."""
    return min(views, wanted or _AT_ONCE)
