"""Attacks on PyTorch, which calls models as they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras import ops

from keras_maskdef.backend.gradients.base import CompiledLoss, Logits, Loss
from keras_maskdef.backend.gradients.half_precision import rescaled
from keras_maskdef.backend.native import with_gradient


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

    def forward(self, logits: Logits, images: Any, scaled: bool) -> Any:
        torch = self._torch

        def call(images: Any) -> Any:
            if not images.requires_grad:
                with torch.no_grad():
                    return logits(images)
            return self._by_images_only(logits, images, scaled)

        return call

    def loss(
        self, logits: Logits, loss: Loss, images: Any, scaled: bool
    ) -> CompiledLoss:
        torch = self._torch

        def values(images: Any, labels: Any) -> Any:
            with torch.no_grad():
                return loss(labels, logits(images))

        def gradient(images: Any, labels: Any) -> tuple[Any, Any]:
            outputs, by_images = self._taped(logits, images, scaled)
            with torch.enable_grad():
                scores = outputs.detach().requires_grad_()
                losses = loss(labels, scores)
            (upstream,) = torch.autograd.grad(losses.sum(), scores)
            return losses.detach(), self._finite(by_images(upstream))

        return CompiledLoss(values, gradient)

    def rows(self, count: int) -> int:
        return count

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        devices = range(self._torch.cuda.device_count())
        with self._torch.random.fork_rng(devices):
            self._torch.manual_seed(seed)
            yield

    seeded_foolbox = seeded

    def foolbox_model(self, foolbox: Any, logits: Callable[[Any], Any]) -> Any:
        class Logits(self._torch.nn.Module):  # type: ignore[name-defined]
            def forward(self, images: Any) -> Any:
                return logits(images)

        device = ops.zeros(()).device
        return foolbox.PyTorchModel(Logits().eval(), bounds=(0, 1), device=device)

    def _by_images_only(self, logits: Logits, images: Any, scaled: bool) -> Any:
        """For attacks that call `backward`: it would add to all weights' gradients."""
        taped: list[Any] = []

        def forward(images: Any) -> Any:
            taped[:] = self._taped(logits, images, scaled)
            return taped[0].detach()

        def gradient(images: Any, outputs: Any, upstream: Any) -> Any:
            return self._finite(taped[1](upstream))

        return with_gradient(forward, gradient, images)

    def _finite(self, gradient: Any) -> Any:
        """Rejects NaN, whose sign is 0 in PyTorch: an attack would stay where it is."""
        if not self._torch.isfinite(gradient).all():
            raise ValueError(
                "`model` must have finite gradients: an image that no attack could "
                "change would count as withstood. Received: NaN or infinity"
            )
        return gradient

    def _taped(
        self, logits: Logits, images: Any, scaled: bool
    ) -> tuple[Any, Callable[[Any], Any]]:
        """Logits, and a function from their gradient to one by images."""
        torch = self._torch
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            outputs = logits(images)

        def by_images(upstream: Any) -> Any:
            # If a model has no gradient at all, an attack stays at its start.
            if not outputs.requires_grad:
                return torch.zeros_like(images)
            (gradient,) = torch.autograd.grad(
                *(outputs, images, upstream),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            return gradient

        if scaled:
            return outputs, lambda upstream: rescaled(by_images, upstream, images)
        return outputs, by_images
