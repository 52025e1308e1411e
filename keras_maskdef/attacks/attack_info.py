"""What is known of an attack before it runs."""

from dataclasses import dataclass

KINDS = ("single-step", "iterative", "minimal")
BACKENDS = ("tensorflow", "jax", "torch")


@dataclass(frozen=True)
class AttackInfo:
    """An attack of the registry.

    Args:
        name: Its name here, such as `"pgd"`.
        norm: `"l1"`, `"l2"` or `"linf"`, what its size is measured in.
        library: The package that has it; `"keras_maskdef"` for the two of ours.
        kind: `"single-step"`; `"iterative"`; or `"minimal"`, which looks for the
            smallest perturbation that fools the model and is cut to each size asked
            for, so that one run serves them all.
        uses_gradient: Whether it differentiates the model. One that does not is the
            check on a defence whose gradients may be of no use.
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
