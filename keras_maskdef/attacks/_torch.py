"""Attacks on PyTorch, which calls models as they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras import ops

from keras_maskdef._native import with_gradient
from keras_maskdef.attacks._backend import CompiledLoss


class Torch:
    """The `Backend` of PyTorch."""

    cleverhans: str | None = "cleverhans.torch.attacks"

    def __init__(self) -> None:
        import torch

        self._torch = torch

    def images(self, images: Any) -> Any:
        return ops.cast(images, "float32")

    def labels(self, labels: Any) -> Any:
        return ops.cast(labels, "int64")

    def forward(self, function: Callable[[Any], Any], images: Any) -> Any:
        torch = self._torch

        def call(images: Any) -> Any:
            if not images.requires_grad:
                with torch.no_grad():
                    return function(images)
            return self._by_images_only(function, images)

        return call

    def loss(self, function: Callable[[Any, Any], Any], images: Any) -> CompiledLoss:
        torch = self._torch

        def values(images: Any, labels: Any) -> Any:
            with torch.no_grad():
                return function(images, labels)

        def gradient(images: Any, labels: Any) -> tuple[Any, Any]:
            inputs, losses = self._taped(lambda x: function(x, labels), images)
            by_images = self._gradient(losses, inputs, torch.ones_like(losses))
            return losses.detach(), by_images

        return CompiledLoss(values, gradient)

    def rows(self, count: int) -> int:
        return count

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        devices = range(self._torch.cuda.device_count())
        with self._torch.random.fork_rng(devices):
            self._torch.manual_seed(seed)
            yield

    def foolbox_model(self, foolbox: Any, logits: Callable[[Any], Any]) -> Any:
        class Logits(self._torch.nn.Module):  # type: ignore[name-defined]
            def forward(self, images: Any) -> Any:
                return logits(images)

        device = ops.zeros(()).device
        return foolbox.PyTorchModel(Logits().eval(), bounds=(0, 1), device=device)

    def _by_images_only(self, function: Callable[[Any], Any], images: Any) -> Any:
        """For attacks that call `backward`: it would add to all weights' gradients."""
        taped: list[Any] = []

        def forward(images: Any) -> Any:
            taped[:] = self._taped(function, images)
            return taped[1].detach()

        def gradient(images: Any, outputs: Any, upstream: Any) -> Any:
            return self._gradient(taped[1], taped[0], upstream)

        return with_gradient(forward, gradient, images)

    def _taped(self, function: Callable[[Any], Any], images: Any) -> tuple[Any, Any]:
        with self._torch.enable_grad():
            images = images.detach().requires_grad_()
            return images, function(images)

    def _gradient(self, outputs: Any, images: Any, upstream: Any) -> Any:
        # Where a model has no gradient at all, an attack starts and stays.
        if not outputs.requires_grad:
            return self._torch.zeros_like(images)
        (by_images,) = self._torch.autograd.grad(
            outputs, images, upstream, allow_unused=True, materialize_grads=True
        )
        return by_images
