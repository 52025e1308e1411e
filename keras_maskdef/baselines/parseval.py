"""Parseval networks: kernels that are kept near tight frames."""

import math
from typing import Any

import keras
from keras import ops

from keras_maskdef.core.arguments import check_positive
from keras_maskdef.core.compat import inner_layers

_CONSTRAINED = (keras.layers.Conv2D, keras.layers.Dense)


@keras.saving.register_keras_serializable(package="keras_maskdef")
class Parseval(keras.constraints.Constraint):
    """Moves a kernel's singular values towards 1, a little after every step.

    With W for the kernel as a matrix `(inputs, outputs)`, one step is

        W <- (1 + beta) W - beta W W^T W

    Repeated steps move each singular value between 0 and `sqrt(1 + 2 / beta)` to 1, and
    keep zeros. The layer's Lipschitz constant in L2 is then at most 1. Larger singular
    values grow without bound: a large `beta` needs a small kernel to begin with.

    A convolution uses each pixel in up to `height * width` windows, so its Lipschitz
    constant is up to `sqrt(height * width)` times that of its matrix `(height * width *
    channels, outputs)`. So W is the kernel times that number, and the kernel's own
    singular values go to `1 / sqrt(height * width)`.

    All rows take part in each step, not a random choice of them.

    Args:
        beta: Number above 0 and below 1. Small ones, such as 1e-3, change the kernel
            little in each step.

    Call arguments:
        kernel: Floating point, `(inputs, outputs)` or `(height, width, channels,
            outputs)`.

    Returns:
        The kernel after one step, of the same shape and dtype.

    Raises:
        ValueError: For a `beta` out of its range, with which the steps do not converge,
            or a kernel with other axes.

    Example:

    >>> layer = keras.layers.Dense(3, kernel_constraint=Parseval(beta=0.5))
    >>> kernel = 2.0 * ops.eye(3)
    >>> for _ in range(20):
    ...     kernel = Parseval(beta=0.5)(kernel)
    >>> bool(ops.max(ops.abs(ops.abs(kernel) - ops.eye(3))) < 1e-6)
    True

    Reference:
        Cisse et al.: Parseval Networks: Improving Robustness to Adversarial Examples,
        ICML 2017, section 4.2; a baseline of MAD (2022).
    """

    def __init__(self, beta: float) -> None:
        self.beta = check_positive("beta", beta)
        if self.beta >= 1.0:
            raise ValueError(
                "`beta` must be below 1, or the steps do not converge. "
                f"Received: beta={beta!r}"
            )

    def __call__(self, kernel: Any) -> Any:
        shape = tuple(kernel.shape)
        if len(shape) not in (2, 4):
            raise ValueError(
                "`kernel` must be (inputs, outputs) or (height, width, channels, "
                f"outputs). Received: kernel.shape={shape}"
            )
        window = math.prod(shape[:-2])
        matrix = ops.reshape(kernel, (-1, shape[-1]))
        transposed = ops.transpose(matrix)
        # The smaller of the two products.
        if matrix.shape[0] < shape[-1]:
            cubed = ops.matmul(ops.matmul(matrix, transposed), matrix)
        else:
            cubed = ops.matmul(matrix, ops.matmul(transposed, matrix))
        stepped = (1.0 + self.beta) * matrix - (self.beta * window) * cubed
        return ops.reshape(stepped, shape)

    def get_config(self) -> dict[str, Any]:
        return {"beta": self.beta}


def with_parseval(model: keras.Model, beta: float) -> keras.Model:
    """Copies a model, to be trained as a Parseval network.

    `Parseval(beta)` becomes the constraint of every kernel of a `Conv2D` or `Dense`
    layer, in place of any other; the optimizer applies it after every step. Batch
    normalisation stays as it is. Its scales are not bounded, so the Lipschitz constant
    of a network with it can be above 1. So can the constant of a network that adds
    branches up, as the paper's convex sums are not implemented.

    Args:
        model: Built Keras model, sequential or functional, also nested.
        beta: Number above 0 and below 1, see `Parseval`.

    Returns:
        A new model of the same layers, names and weights, which shares nothing.

    Gradient:
        The model's own. `evaluate` takes it as any other classifier.

    Raises:
        TypeError: For a model that is neither sequential nor functional.
        ValueError: For a `beta` out of its range, a model that is not built, or one
            with such layers in a part that is neither sequential nor functional.

    Example:

    >>> classifier = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    ... )
    >>> with_parseval(classifier, beta=1e-3).layers[-1].kernel_constraint.beta
    0.001

    Reference:
        Cisse et al.: Parseval Networks: Improving Robustness to Adversarial Examples,
        ICML 2017, section 4.2.
    """
    constraint = Parseval(beta)
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        raise TypeError(
            "`model` must be a sequential or functional Keras model. "
            f"Received: model={model!r}"
        )
    if not model.built:
        raise ValueError(
            "`model` must be built: call it on some images once, or give it a "
            f"`keras.Input`. Received: model={model!r}"
        )

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, _CONSTRAINED):
            config["kernel_constraint"] = constraint
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    for layer in inner_layers(copy, include_self=False):
        if (
            isinstance(layer, _CONSTRAINED)
            and layer.kernel_constraint is not constraint
        ):
            raise ValueError(
                "`model` must be sequential or functional in all its parts, or their "
                f"kernels cannot be reached. Received: layer {layer.name!r} within "
                f"another, in model={model!r}"
            )
    copy.set_weights(model.get_weights())
    return copy
