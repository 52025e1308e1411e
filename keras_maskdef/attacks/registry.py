"""Attacks by name, norm and library."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_maskdef.attacks import diverse, noise
from keras_maskdef.attacks.adapters import art, cleverhans, foolbox
from keras_maskdef.attacks.attack import Attack, Run
from keras_maskdef.attacks.attack_info import BACKENDS, AttackInfo
from keras_maskdef.attacks.inputs import check_attack
from keras_maskdef.attacks.target import Target, as_target
from keras_maskdef.core.arguments import check_choice
from keras_maskdef.core.value_range import UNIT, span

Make = Callable[..., Run]
# Where several libraries have an attack, the first one here is the default.
ADAPTERS: tuple[Any, ...] = (foolbox, cleverhans, diverse, noise, art)
REGISTRY: dict[tuple[str, str, str], tuple[AttackInfo, Make]] = {
    (info.name, info.norm, info.library): (info, adapter.make)
    for adapter in ADAPTERS
    for info in adapter.ATTACKS
}


def available(backend: str | None = None) -> list[tuple[str, str]]:
    """Lists the names and norms of the attacks on a backend, sorted.

    Args:
        backend: `"tensorflow"`, `"jax"` or `"torch"`; None for Keras' current one.

    Returns:
        Pairs of names and norms. Some libraries have more on TensorFlow: `describe`
        names the backends.

    Raises:
        ValueError: For a backend that no attack runs on.

    Example:

    >>> ("pgd", "linf") in available("jax"), ("mim", "linf") in available("jax")
    (True, False)
    """
    if backend is None:
        name = keras.backend.backend()
    else:
        name = check_choice("backend", backend, BACKENDS)
    infos = [info for info, _ in REGISTRY.values() if name in info.backends]
    return sorted({(info.name, info.norm) for info in infos})


def describe(name: str, norm: str = "linf", library: str | None = None) -> AttackInfo:
    """Describes an attack, whichever backend Keras runs on.

    Args:
        name: Name of the attack.
        norm: `"l1"`, `"l2"` or `"linf"`.
        library: Its library; None for the attack's default library.

    Returns:
        Its `AttackInfo`: library, kind, options and backends.

    Raises:
        ValueError: For an unknown attack; the error lists all attacks.

    Example:

    >>> describe("pgd", "l2").options
    ('steps', 'step_size')
    >>> describe("pgd", library="cleverhans").backends
    ('tensorflow', 'torch')
    """
    libraries = [
        info.library
        for info, _ in REGISTRY.values()
        if (info.name, info.norm) == (name, norm)
    ]
    if not libraries:
        listing = ", ".join(f"{n} ({m})" for n, m in sorted({k[:2] for k in REGISTRY}))
        raise ValueError(
            f"`name` and `norm` must be one of: {listing}. "
            f"Received: name={name!r}, norm={norm!r}"
        )
    if library is not None and library not in libraries:
        raise ValueError(
            f"`library` must be one of: {', '.join(libraries)} for {name} ({norm}). "
            f"Received: library={library!r}"
        )
    return REGISTRY[name, norm, library or libraries[0]][0]


def prepare(
    name: str,
    model: Any,
    norm: str = "linf",
    library: str | None = None,
    value_range: Sequence[float] = UNIT,
    **options: Any,
) -> Attack:
    """Prepares an attack to run on batches of images.

    Args:
        name: Name of the attack, one of `available()`.
        model: Keras classifier under attack, a function of images, or a `Target` that
            several attacks share.
        norm: `"l1"`, `"l2"` or `"linf"`.
        library: The library of the attack; None for its default library.
        value_range: The lowest and the highest value of the images that the model
            takes; a `Target` has its own.
        **options: Options of the attack, see `craft`.

    Returns:
        An `Attack`: a function of images, labels, epsilons and a seed.

    Raises:
        ValueError: For an unknown attack, options that it does not have, or one that
            its library does not have for Keras' backend.
        ImportError: If the library is not installed.

    Example:

    >>> import keras, numpy as np
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> attack = prepare("bim", classifier, steps=3)
    >>> attack(np.full((2, 8, 8, 1), 0.5), np.array([0, 1]), [0.1], seed=0).shape
    (1, 2, 8, 8, 1)
    """
    info = describe(name, norm, library)
    chosen = check_attack(info, options)
    target: Target = as_target(model, value_range)
    if "step_size" in chosen and info.kind != "minimal":  # in CW, Adam's rate
        chosen["step_size"] /= span(target.value_range)
    make = REGISTRY[name, norm, info.library][1]
    return Attack(info, target, make(info, target, **chosen))
