"""Which attacks are run, by what attacker, in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_maskdef.attacks import describe
from keras_maskdef.evaluation.threat_models import THREAT_MODELS
from keras_maskdef.results.wording import eot_samples, norm

# Strong, cheap, and in every norm; steps and sizes are foolbox's.
_ADAPTIVE = "pgd"


@dataclass(frozen=True)
class AttackSetting:
    """An attack by name, its norm and size, and what is not as the library has it.

    Args:
        name: Name of `attacks.available()`.
        norm: `"l1"`, `"l2"` or `"linf"`.
        epsilon: Size of the perturbation, on the scale of the images.
        library: Where several have the attack; `None` for the first.
        options: Such as `{"steps": 30, "step_size": 1 / 255}`, those that are on the
            scale of the images as well.

    Returns:
        A frozen record; its options are sorted pairs, without those that are None.

    Raises:
        ValueError: Where it is used, by `evaluate` and `match_strength`: for an attack,
            an option or a size that there is not.

    Example:

    >>> pgd = AttackSetting("pgd", "linf", 0.1, options={"steps": 20})
    >>> pgd.options
    (('steps', 20),)
    """

    name: str
    norm: str
    epsilon: float
    library: str | None = None
    options: Any = ()

    def __post_init__(self) -> None:
        options = self.options
        if isinstance(options, Mapping):
            options = tuple(sorted(options.items()))
        given = tuple((name, value) for name, value in options if value is not None)
        object.__setattr__(self, "options", given)


@dataclass(frozen=True)
class Scenario:
    """One attack by one attacker, in all its sizes.

    Args:
        threat_model: A name of `THREAT_MODELS`, or `"none"`, `"noise"`, `"frozen"`.
        attack: Name of the attack, or `"clean"`.
        norm: Norm of the attack.
        epsilons: Its sizes, in rising order.
        library: Its library.
        options: What is not as the library has it.
        samples: Masks in each step of an adaptive attack.
    """

    threat_model: str
    attack: str = "clean"
    norm: str | None = None
    epsilons: tuple[float, ...] = (0.0,)
    library: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    samples: int | None = None

    @property
    def key(self) -> str:
        """A name for files, that tells it from all other scenarios of a run."""
        options = [f"{name}={value!r}" for name, value in self.options]
        parts = [self.threat_model, self.attack, self.norm, self.library]
        masks = "" if self.samples is None else f"-{self.samples}masks"
        return "-".join([part for part in parts if part] + options) + masks

    @property
    def uses_gradient(self) -> bool:
        """Whether it follows a gradient by images."""
        if self.attack == "clean":
            return False
        return describe(self.attack, self.norm or "linf", self.library).uses_gradient

    @property
    def key_without_samples(self) -> str:
        """Of what a defence without randomness makes of it."""
        return replace(self, samples=None).key

    @property
    def title(self) -> str:
        """For a progress bar."""
        known = self.threat_model.replace("_", " ")
        samples = "" if self.samples is None else f", {eot_samples(self.samples)}"
        attack = f"{self.attack} {norm(self.norm)}".strip()
        if known in ("none", self.attack):
            return attack
        return f"{known}: {attack}{samples}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "options": dict(self.options)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Scenario":
        """The scenario that `to_dict` made plain."""
        known = {
            **plain,
            "epsilons": tuple(plain["epsilons"]),
            "options": tuple(sorted(plain["options"].items())),
        }
        return cls(**known)

    @property
    def same_attack(self) -> tuple[Any, ...]:
        """What adaptive scenarios of different numbers of masks share."""
        return (self.threat_model, self.attack, self.norm, self.library, self.options)


def scenarios(
    attacks: Sequence[AttackSetting],
    threat_models: Sequence[str],
    adaptive: Sequence[AttackSetting] | None,
    samples: Sequence[int],
    checks: bool,
) -> list[Scenario]:
    """The plan of a run: clean, noise, attacks, then the adaptive ones.

    Args:
        attacks: The attacks of each threat model.
        threat_models: Names of `THREAT_MODELS`; the adaptive one is there always.
        adaptive: The adaptive attacks; by default PGD in each norm and size of
            `attacks`.
        samples: Numbers of masks in a step of them, in rising order.
        checks: Whether to run the controls as well.
    """
    unknown = sorted(set(threat_models) - set(THREAT_MODELS))
    if unknown:
        raise ValueError(
            f"`threat_models` must be of {', '.join(THREAT_MODELS)}. "
            f"Received: threat_models={tuple(threat_models)}"
        )
    if adaptive is None:
        adaptive = _adaptive(attacks)
    if not adaptive:
        raise ValueError(
            "`adaptive` must hold an attack, or `attacks` one to take its size from: "
            "the adaptive row is never left out. Received: adaptive=(), attacks=()"
        )
    plan = [Scenario("none")]
    if checks:
        plan += _noise([*attacks, *adaptive])
    for threat_model in THREAT_MODELS:
        if threat_model in threat_models and threat_model != "adaptive":
            plan += _grouped(threat_model, attacks)
    for number in samples:
        plan += _grouped("adaptive", adaptive, number)
    if checks:
        plan += _grouped("frozen", adaptive)
    return plan


def _grouped(
    threat_model: str, settings: Sequence[AttackSetting], samples: int | None = None
) -> list[Scenario]:
    """One scenario for each attack, in the order of its first appearance."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for setting in settings:
        info = describe(setting.name, setting.norm, setting.library)
        key = (setting.name, setting.norm, info.library, setting.options)
        groups.setdefault(key, []).append(float(setting.epsilon))
    return [
        Scenario(
            threat_model, name, norm, tuple(sorted({*sizes})), library, options, samples
        )
        for (name, norm, library, options), sizes in groups.items()
    ]


def _noise(settings: Sequence[AttackSetting]) -> list[Scenario]:
    sizes = [AttackSetting("noise", s.norm, s.epsilon) for s in settings]
    return _grouped("noise", sizes)


def _adaptive(attacks: Sequence[AttackSetting]) -> list[AttackSetting]:
    sizes = dict.fromkeys((setting.norm, setting.epsilon) for setting in attacks)
    return [AttackSetting(_ADAPTIVE, norm, epsilon) for norm, epsilon in sizes]
