"""How many images a second a vote predicts, by its number of views."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_maskdef.backend.seeding import kept_seeds
from keras_maskdef.core.durations import fastest
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.core.view_passes import MOST_VIEWS
from keras_maskdef.evaluation.columns import Column
from keras_maskdef.layers import VotingEnsemble

SPEED = "speed.json"
_TIMED, _REPEATS = 256, 5
# Numbers of votes that are timed at most.
_CURVE = 40


def save_speed(
    store: RunFolder, columns: Sequence[Column], images: np.ndarray, start: Start
) -> None:
    """Keeps images per second for one view, two, and so on (MAD, Figure 2).

    Times differ from run to run, so they are no part of the results.
    """
    store.kept(SPEED, lambda: _speed(columns, images, start), "speed")


def _speed(
    columns: Sequence[Column], images: np.ndarray, start: Start
) -> dict[str, Any]:
    voting = [column for column in columns if column.votes]
    measured = {}
    advance = start("speed", len(voting)) if voting else silent("speed", 0)
    for column in voting:
        assert column.defence.vote is not None
        front, vote = column.defence.vote
        few = images[:_TIMED]
        seen = few if front is None else front.predict_on_batch(few)
        numbers = _numbers_of_votes(vote.votes)
        with kept_seeds(column.models):
            speeds = [_images_per_second(vote, n, seen) for n in numbers]
        measured[column.name] = {"votes": numbers, "images_per_second": speeds}
        advance(1)
    return measured


def _numbers_of_votes(votes: int) -> list[int]:
    """Up to twice as many as vote; each takes a compilation, so some of many."""
    most = min(2 * votes, MOST_VIEWS)
    return sorted({round(n) for n in np.linspace(1, most, min(most, _CURVE))})


def _images_per_second(vote: VotingEnsemble, votes: int, images: np.ndarray) -> float:
    model = VotingEnsemble(
        vote.classifier,
        vote.mask,
        votes=votes,
        pooling=vote.pooling,
        from_logits=vote.from_logits,
        votes_per_pass=vote.votes_per_pass,
    )
    model.predict_on_batch(images)
    # `predict` waits for TensorFlow's input pipeline to notice its end: 5.3 s for what
    # takes 2.8.
    seconds = fastest(lambda: model.predict_on_batch(images), _REPEATS)
    return round(len(images) / seconds, 1)
