"""Attacks on JAX: pure functions of images and of all variables that they read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_maskdef.backend.gradients.base import CompiledLoss, Logits, Loss
from keras_maskdef.backend.gradients.half_precision import rescaled
from keras_maskdef.core.extras import require


class Jax:
    """The `Backend` of JAX, which compiles once for each batch size."""

    # cleverhans 4.0 imports `jax.experimental.stax`, which JAX has not had since 2022.
    cleverhans: str | None = None

    def __init__(self) -> None:
        import jax

        self._jax = jax

    def images(self, images: Any) -> Any:
        return self._jax.numpy.asarray(images, "float32")

    def labels(self, labels: Any) -> Any:
        return self._jax.numpy.asarray(labels)

    def forward(self, logits: Logits, images: Any, scaled: bool) -> Any:
        jax = self._jax
        pure = _Pure(logits, images)
        compiled = jax.jit(pure)

        @jax.jit
        def gradient(values: Any, images: Any, upstream: Any) -> Any:
            _, by_images, _ = self._taped(pure, values, images, scaled)
            return (by_images(upstream),)

        def forwards(images: Any) -> tuple[Any, Any]:
            values = pure.values()
            return pure.called(compiled, images), (values, images)

        def backwards(kept: Any, upstream: Any) -> Any:
            return jax.block_until_ready(gradient(*kept, upstream))

        # So a library's `jax.grad` sees neither callbacks nor the states of seeds.
        call = jax.custom_vjp(lambda images: forwards(images)[0])
        call.defvjp(forwards, backwards)
        return call

    def loss(
        self, logits: Logits, loss: Loss, images: Any, scaled: bool
    ) -> CompiledLoss:
        jax = self._jax
        pure = _Pure(logits, images)

        @jax.jit
        def losses(values: Any, images: Any, labels: Any) -> Any:
            outputs, after = pure(values, images)
            return loss(labels, outputs), after

        @jax.jit
        def gradient(values: Any, images: Any, labels: Any) -> Any:
            outputs, by_images, after = self._taped(pure, values, images, scaled)
            per_image, pull_back = jax.vjp(lambda x: loss(labels, x), outputs)
            (upstream,) = pull_back(jax.numpy.ones_like(per_image))
            return (per_image, by_images(upstream)), after

        return CompiledLoss(
            lambda *arguments: pure.called(losses, *arguments),
            lambda *arguments: pure.called(gradient, *arguments),
        )

    def rows(self, count: int) -> int:
        # Powers of two: few sizes to compile for, whatever was compiled before.
        return 1 << (count - 1).bit_length()

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        # Foolbox draws through eagerpy, whose tensors share one key.
        tensor = require("eagerpy", "attacks").JAXTensor
        before, tensor.key = tensor.key, self._jax.random.PRNGKey(seed)
        try:
            yield
        finally:
            tensor.key = before

    seeded_foolbox = seeded

    def _taped(
        self, pure: "_Pure", values: Any, images: Any, scaled: bool
    ) -> tuple[Any, Callable[[Any], Any], Any]:
        """Logits, a function from their gradient to one by images, and new states."""
        outputs, pull_back, after = self._jax.vjp(
            lambda x: pure(values, x), images, has_aux=True
        )

        def by_images(upstream: Any) -> Any:
            return pull_back(upstream)[0]

        if not scaled:
            return outputs, by_images, after
        return outputs, lambda up: rescaled(by_images, up, images), after

    def foolbox_model(self, foolbox: Any, logits: Callable[[Any], Any]) -> Any:
        return foolbox.JAXModel(logits, bounds=(0, 1))


class _Noticed(keras.StatelessScope):
    """A scope that records which variables were read or written in it."""

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[int, keras.Variable] = {}
        self.written: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Any:
        self.read[id(variable)] = variable
        return super().get_current_value(variable)

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        self.written[id(update[0])] = update[0]
        super().add_update(update)


class _Pure:
    """A function of variables' values and arguments, to outputs and written values.

    `stateless_call` does that for models. This does it for any function, as attacks can
    be on functions, or on a model's `view_logits`. The variables are those that it uses
    in a call with these arguments. A seed that was left out would be compiled in, and
    every call would see the same masks.
    """

    def __init__(self, function: Callable, *arguments: Any) -> None:
        import jax

        self._jax, self._function = jax, function
        with _Noticed() as noticed:
            # A new function: JAX does not call one again that it has traced.
            jax.eval_shape(lambda *inputs: function(*inputs), *arguments)
        self._read = list({**noticed.read, **noticed.written}.values())
        self._written = list(noticed.written.values())

    def __call__(self, values: list[Any], *arguments: Any) -> tuple[Any, list[Any]]:
        mapping = list(zip(self._read, values, strict=True))
        with keras.StatelessScope(mapping) as scope:
            outputs = self._function(*arguments)
        written = [scope.get_current_value(v) for v in self._written]
        return outputs, written

    def values(self) -> list[Any]:
        """The current values of the variables."""
        return [variable.value for variable in self._read]

    def called(self, compiled: Callable, *arguments: Any) -> Any:
        """Calls the compiled function on the current values, and updates them."""
        # Without blocking, a callback on the host that calls JAX would wait for ever
        # for work that was started since (JAX 0.10 on a CPU).
        outputs, after = self._jax.block_until_ready(
            compiled(self.values(), *arguments)
        )
        for variable, value in zip(self._written, after, strict=True):
            variable.assign(value)
        return outputs
