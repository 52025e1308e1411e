"""The properties of an attack."""

from dataclasses import dataclass

KINDS = ("single-step", "iterative", "minimal")
BACKENDS = ("tensorflow", "jax", "torch")


@dataclass(frozen=True)
class AttackInfo:
    """An attack of the registry.

    Args:
        name: Its name here, such as `"pgd"`.
        norm: `"l1"`, `"l2"` or `"linf"`, the norm of epsilon.
        library: The package that has it; `"keras_maskdef"` for the two of ours.
        kind: `"single-step"`; `"iterative"`; or `"minimal"`, a minimum-norm attack: it
            looks for the smallest perturbation that fools the model. That is cut to
            each epsilon, so one run serves all of them.
        uses_gradient: Whether it differentiates the model. An attack that does not
            checks a defence whose gradients may be useless.
        options: Names of the options that it takes.
        backends: Keras' backends that the library has it for; all three by default.

    Returns:
        A frozen record; equal to another of the same values.

    Raises:
        ValueError: For a kind that is not one of the three.

    Example:

    >>> from keras_maskdef import attacks
    >>> attacks.describe("square", "l2").uses_gradient
    False
    """

    name: str
    norm: str
    library: str
    kind: str
    uses_gradient: bool = True
    options: tuple[str, ...] = ()
    backends: tuple[str, ...] = BACKENDS

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"`kind` must be one of {', '.join(KINDS)}. Received: kind={self.kind}"
            )
