"""The common part of votes over several views of an image."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_maskdef.core.arguments import check_choice
from keras_maskdef.core.logits import logits_of, shares_of
from keras_maskdef.core.output_kind import infer_from_logits
from keras_maskdef.core.view_passes import (
    check_views,
    check_views_per_pass,
    views_at_once,
)
from keras_maskdef.layers.pooling import POOLINGS


class PooledVote(keras.Model):
    """A classifier whose outputs for several views are pooled.

    Subclasses make the views, in `_pass`, and have `logits_of_views`.

    Args:
        classifier: Keras model or layer to `(batch, classes)`.
        votes: Number of views.
        pooling: `"majority"`, `"mean"` or `"geometric"`.
        from_logits: Whether the classifier returns logits; read off it if None.
        votes_per_pass: Views that go through the classifier at once.
    """

    # Arguments that are serialized as objects of Keras.
    _nested: tuple[str, ...] = ("classifier",)

    def __init__(
        self,
        classifier: Any,
        votes: int,
        pooling: str,
        from_logits: bool | None,
        votes_per_pass: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(classifier, keras.layers.Layer):
            raise TypeError(
                "`classifier` must be a Keras model or layer. "
                f"Received: classifier={classifier!r}"
            )
        self.classifier = classifier
        self.votes = check_views("votes", votes)
        self.pooling = check_choice("pooling", pooling, tuple(POOLINGS))
        self.from_logits = (
            infer_from_logits(classifier) if from_logits is None else bool(from_logits)
        )
        self.votes_per_pass = check_views_per_pass(votes_per_pass)

    def _pass(self, images: Any, views: Any, function: Callable[[Any], Any]) -> Any:
        """Applies a function to these views: `(views, batch, classes)`."""
        raise NotImplementedError

    def pool_logits(self, logits: Any) -> Any:
        """Pools `logits_of_views` into the vote's own output, `(batch, classes)`."""
        shares = shares_of(self.classifier, self.from_logits)
        return POOLINGS[self.pooling](logits, self.from_logits, shares)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "votes": self.votes,
            "pooling": self.pooling,
            "from_logits": self.from_logits,
            "votes_per_pass": self.votes_per_pass,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        nested = {
            name: keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
            for name in cls._nested
        }
        return cls(**{**config, **nested})

    def _in_passes(
        self, images: Any, views: Any, count: int, function: Callable[[Any], Any]
    ) -> Any:
        """Applies a function to all views, some at a time.

        Args:
            images: `(batch, height, width, channels)`.
            views: A function of the first and the last view of a pass.
            count: Number of views.
            function: From images to `(n, classes)`.

        Returns:
            `(views, batch, classes)`.
        """
        step = views_at_once(count, self.votes_per_pass)
        outputs = [
            self._pass(images, views(start, min(start + step, count)), function)
            for start in range(0, count, step)
        ]
        return outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=0)

    def _outputs(self, images: Any) -> Any:
        return self.classifier(images, training=False)

    def _logits(self, exact: bool) -> Callable[[Any], Any]:
        return lambda images: logits_of(
            self.classifier, self.from_logits, images, exact
        )

    def _look_through(self) -> Callable[[Any], Any]:
        """Returns a function to the vote's logits, pooled as logits."""

        def logits(images: Any) -> Any:
            views = self.logits_of_views(images, exact=True)
            return POOLINGS[self.pooling](views, as_logits=True)

        return logits
