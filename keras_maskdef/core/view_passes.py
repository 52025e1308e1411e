"""How many views a vote may have, and how many go through a classifier at once."""

from keras_maskdef.core.arguments import check_int, check_positive_int

# A model from a file may ask for any number. More views settle no vote that these do
# not: the share of a class is then known to 0.5 %.
MOST_VIEWS = 10_000
# By default; of 32 images of a LeNet they take 0.2 GiB.
_AT_ONCE = 128


def check_views(name: str, value: int) -> int:
    """A number of views, or of masks in a step of an attack."""
    return check_int(name, value, 1, MOST_VIEWS)


def check_views_per_pass(value: int | None) -> int | None:
    return None if value is None else check_positive_int("votes_per_pass", value)


def views_at_once(views: int, wanted: int | None) -> int:
    """How many of the views are a pass."""
    return min(views, wanted or _AT_ONCE)
